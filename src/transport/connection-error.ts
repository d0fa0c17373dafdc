/** A connection could not be made, or broke. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
}
