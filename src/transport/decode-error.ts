/** A peer sent bytes that no correct node would send. The connection cannot be used any further. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError'
}
