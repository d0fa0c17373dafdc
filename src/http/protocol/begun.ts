/**
 * Starts `source`, and returns an iterator that continues from there. A generator that was never started does not run its
 * `finally` when its reader leaves at once, so its resources would stay open. A failure at the start can still be answered with
 * a problem document.
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
