/**
 * Begins `source`, and gives an iterator that goes on from there. A generator that never began does not run its `finally`
 * when its reader is gone at once, so what it holds would stay open. A failure to begin is still in time for a problem.
 */
export async function begun<T>(source: AsyncIterable<T>): Promise<AsyncIterable<T>> {
  const iterator = source[Symbol.asyncIterator]()
  let first: IteratorResult<T> | null = await iterator.next()
  const rest: AsyncIterableIterator<T> = {
    async next() {
      if (first === null) return iterator.next()
      const result = first
      first = null
      return result
    },
    async return() {
      await iterator.return?.()
      return { value: undefined, done: true }
    },
    [Symbol.asyncIterator]: () => rest,
  }
  return rest
}
