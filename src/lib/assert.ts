/**
 * A belief of the code that turned out to be false. The node stops: it must not vote or acknowledge from a state that nobody reasoned
 * about.
 */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** Checks a belief, in production too. `invariant` says what should have held, in the present tense. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new InvariantError(invariant)
}

/** For the default branch of a switch over a closed union: reaching it is a broken belief. */
export function unreachable(value: never, what: string): never {
  throw new InvariantError(`${what}: unexpected ${JSON.stringify(value)}`)
}
