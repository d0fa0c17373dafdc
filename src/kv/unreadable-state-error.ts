/** What the state store returned is not what this build writes: it is damaged, or a newer build wrote it. The state must not be used. */
export class UnreadableStateError extends Error {
  override readonly name = 'UnreadableStateError'
}
