import { limits } from '../limits.ts'
import { ConnectionError } from './errors.ts'

const LINE_FEED = 0x0a

/**
 * The lines of a stream, without their ends; `\r\n` ends a line as `\n` does. Throws `ConnectionError` when something follows the last end:
 * the stream was cut off, whatever was on the way took that for its end.
 */
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
  if (begunBytes > 0) throw cutOff()
}

/** The same pieces, which must end with the end of a line. */
export function wholeLines(pieces: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  let last: number | undefined = LINE_FEED
  const next = pieces.next.bind(pieces)
  pieces.next = async () => {
    const step = await next()
    if (step.done !== true) last = step.value.at(-1) ?? last
    else if (last !== LINE_FEED) {
      last = LINE_FEED
      throw cutOff()
    }
    return step
  }
  return pieces
}

function cutOff(): ConnectionError {
  return new ConnectionError('the answer was cut off in the middle of a line', false)
}

function text(bytes: Uint8Array): string {
  const line = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  return line.endsWith('\r') ? line.slice(0, -1) : line
}
