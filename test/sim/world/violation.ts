/** Something that must never happen has happened. `oracle` names the check that noticed it. */
export class Violation extends Error {
  override readonly name = 'Violation'
  readonly oracle: string

  constructor(oracle: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.oracle = oracle
  }
}
