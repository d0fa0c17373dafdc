/** The bytes `[from, to)` as a string with one character for each byte: the form that keys and rows have in memory. */
export function latin1Of(bytes: Uint8Array, from: number, to: number): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return buffer.toString('latin1', from, to)
}
