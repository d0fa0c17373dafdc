/** Bytes from a peer that no node of ours would have sent. The connection they came on is of no further use. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError'
}
