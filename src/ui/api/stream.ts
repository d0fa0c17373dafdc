import { bounds } from '../bounds.ts'
import { UnreachableError } from './problem.ts'
import { send, type Call } from './request.ts'

/** Lines of an answer that may never end, as they come. Leaving the loop ends the request. */
async function* linesOf(response: Response): AsyncGenerator<string> {
  if (response.body === null) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      const lines = (rest + value).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > bounds.streamLineCharactersMax) throw new UnreachableError('a line of the stream is too long')
      yield* lines
    }
    if (rest !== '') yield rest
  } finally {
    // The reader may have failed already, and then there is nothing to end.
    await reader.cancel().catch(() => null)
  }
}

/** Resolves when an NDJSON stream has begun, with its objects. They end with an UnreachableError when it breaks off. */
export async function openStream<Item>(call: Call): Promise<AsyncGenerator<Item>> {
  const response = await send({ ...call, headers: { accept: 'application/x-ndjson', ...call.headers } })
  return objectsIn(response, call.signal)
}

async function* objectsIn<Item>(response: Response, signal: AbortSignal | undefined): AsyncGenerator<Item> {
  try {
    for await (const line of linesOf(response)) if (line.trim() !== '') yield JSON.parse(line) as Item
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof TypeError) throw new UnreachableError('the stream broke off', { cause: error })
    throw error
  }
}
