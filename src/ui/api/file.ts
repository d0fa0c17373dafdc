import { UnreachableError } from './problem.ts'

/**
 * The body of an answer as a file of the browser, which keeps large ones on disk. Throws an UnreachableError when it breaks off, and the reason of
 * `signal`. `onReceived` is told how many bytes have come.
 */
export async function fileOf(
  response: Response,
  onReceived: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Blob> {
  let soFar = 0
  const counting = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform: (piece, out) => {
      soFar += piece.byteLength
      onReceived(soFar)
      out.enqueue(piece)
    },
  })
  try {
    return await new Response(response.body?.pipeThrough(counting) ?? null).blob()
  } catch (error) {
    signal.throwIfAborted()
    throw new UnreachableError('the file broke off', { cause: error })
  }
}
