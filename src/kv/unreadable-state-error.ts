/**
 * The state store returned something that this build does not write: it is damaged, or a newer build wrote it. The state must not be used.
 */
export class UnreadableStateError extends Error {
  override readonly name = 'UnreadableStateError'
}
