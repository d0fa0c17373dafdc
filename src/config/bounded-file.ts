import { createReadStream } from 'node:fs'

/**
 * All bytes of a file that is to have at most `bytesMax`. No more than one byte beyond them is read, whatever the path leads to: a pipe, a device
 * that never ends, a file that grows. Rejects with an `Error` that says what is wrong, in words that follow "cannot be read: ".
 */
export async function readAtMost(path: string, bytesMax: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  // `end` is the position of the last byte that is read.
  for await (const piece of createReadStream(path, { end: bytesMax })) pieces.push(piece as Buffer)
  const whole = Buffer.concat(pieces)
  if (whole.length > bytesMax) throw new Error(`it has more than ${bytesMax} bytes`)
  return whole
}
