import { bounds } from '../bounds.ts'
import { UnreachableError, UnreadableError } from './problem.ts'
import { send, type Call } from './request.ts'

/** Lines of an answer that may never end, as they come. Leaving the loop ends the request. */
async function* linesOf(response: Response): AsyncGenerator<string> {
  if (response.body === null) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  // The pieces of a line: a long one is put together once.
  let rest: string[] = []
  let length = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      const [first = '', ...others] = value.split('\n')
      rest.push(first)
      length += first.length
      const last = others.pop()
      if (last !== undefined) {
        yield rest.join('')
        yield* others
        rest = [last]
        length = last.length
      }
      if (length > bounds.streamLineCharactersMax) {
        const most = `${bounds.streamLineCharactersMax} characters`
        throw new UnreadableError(`a line of the stream has more than ${most}, which this page does not take`)
      }
    }
    if (length > 0) yield rest.join('')
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
