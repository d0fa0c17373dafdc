/**
 * The state store returned something that this build does not write: it is damaged, or a newer build wrote it. The state must not be used.
 */
export class UnreadableStateError extends Error {
  override readonly name: string = 'UnreadableStateError'
}

/** A newer build wrote the state: nothing says that it is damaged. */
export class NewerStateError extends UnreadableStateError {
  override readonly name = 'NewerStateError'
}
