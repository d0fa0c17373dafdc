import { limits } from '../limits.ts'

const LINE_FEED = 0x0a

/** The lines of a stream, without their ends; `\r\n` ends a line as `\n` does. What follows the last end is no line: it was cut off. */
export async function* linesIn(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let begun: Uint8Array[] = []
  let begunBytes = 0
  for await (const piece of pieces) {
    let from = 0
    for (let end = piece.indexOf(LINE_FEED); end !== -1; end = piece.indexOf(LINE_FEED, from)) {
      const last = piece.subarray(from, end)
      yield text(begunBytes === 0 ? last : Buffer.concat([...begun, last]))
      begun = []
      begunBytes = 0
      from = end + 1
    }
    if (from === piece.length) continue
    begun.push(piece.subarray(from))
    begunBytes += piece.length - from
    if (begunBytes > limits.clientLineBytesMax) {
      throw new RangeError(`a line of the answer is larger than ${limits.clientLineBytesMax} bytes`)
    }
  }
}

function text(bytes: Uint8Array): string {
  const line = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  return line.endsWith('\r') ? line.slice(0, -1) : line
}
