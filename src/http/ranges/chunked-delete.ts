import { setTimeout as pause } from 'node:timers/promises'
import type { DeleteRangeCommand, Key, ResultOf } from '../../kv/index.ts'
import { keyToText } from '../../kv/index.ts'
import { assert } from '../../lib/assert.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { KeyRange } from '../keys/key-range.ts'
import type { AnswerContext, Caller, KeyValueAccess } from '../../api/services.ts'
import { refusalOf, taggedStep, type Asker } from '../keys/writes.ts'

export interface ChunkedAnswer {
  readonly revision: number
  readonly deleted: number
  readonly chunks: number
  readonly context: AnswerContext
}

export interface ChunkedDeleteOptions {
  readonly range: KeyRange
  /** Has the idempotency key, and the token. */
  readonly asker: Asker
  readonly timeoutMs: number
  readonly caller: Caller | undefined
}

/**
 * Deletes a range of any size as several entries, one after the other. Each entry is atomic and removes the first keys that are
 * left. The next one starts where it ended, so no step scans the keys that earlier steps removed. A key that is written
 * meanwhile in the part that is done stays. Between two of them it rests for as long as the one before took: what others write meanwhile waits for
 * each of them.
 *
 * A failure says what was deleted before it.
 */
export class ChunkedDelete {
  private readonly keys: KeyValueAccess
  private readonly options: ChunkedDeleteOptions
  private readonly now: () => number
  private revision = 0
  private deleted = 0
  private chunks = 0
  /** What the answer to the last step said. */
  private reflects: AnswerContext | null = null

  /** `now`: monotonic milliseconds. */
  constructor(keys: KeyValueAccess, options: ChunkedDeleteOptions, now: () => number) {
    this.keys = keys
    this.options = options
    this.now = now
  }

  async run(): Promise<ChunkedAnswer> {
    const deadline = this.now() + this.options.timeoutMs
    let { start } = this.options.range
    for (;;) {
      const begunAt = this.now()
      const { result, context } = await this.step(start, deadline - begunAt)
      this.revision = result.revision
      this.deleted += result.deleted
      this.chunks += 1
      this.reflects = context
      const { revision, deleted, chunks } = this
      if (result.next === null) return { revision, deleted, chunks, context }
      start = result.next
      const endedAt = this.now()
      const restMs = Math.min(endedAt - begunAt, limits.rangeDeleteRestMsMax)
      // Without time for it, the deletion comes as far as it can.
      if (endedAt + restMs < deadline) await pause(restMs)
    }
  }

  private async step(start: Key | null, timeoutMs: number) {
    if (timeoutMs <= 0) throw this.endedBy(new RequestError('deletion-unfinished', 'the time was up'), start)
    const { range, asker } = this.options
    const step: DeleteRangeCommand = { type: 'delete-range', start, end: range.end, upToLimit: true, idempotency: null }
    const named = taggedStep(step, asker, this.keys, this.chunks)
    try {
      const { result, context } = await this.keys.execute(named, timeoutMs, this.options.caller)
      return { result: rangeDeleted(result, context), context }
    } catch (error) {
      throw error instanceof RequestError ? this.endedBy(error, start) : error
    }
  }

  /** Adds to `error` what was deleted before it. Its code tells whether the last step may still take effect. */
  private endedBy(error: RequestError, start: Key | null): RequestError {
    const { revision, deleted, chunks } = this
    if (chunks === 0) return error
    // A right that was taken away meanwhile is one to know that name as well.
    const isDenied = error.code === 'forbidden' || error.code === 'unauthenticated'
    const rest = start === null || isDenied ? '' : `; keys from ${JSON.stringify(keyToText(start))} on remain`
    const message = isDenied ? 'the token may not delete the rest of the range any more' : error.message
    const facts = isDenied ? {} : error.facts
    const detail = `${message}; ${deleted} keys were deleted before that, in ${chunks} changes up to revision ${revision}${rest}`
    return new RequestError(
      error.code,
      detail,
      { ...facts, deleted, revision, chunks },
      error.reflects ?? this.reflects,
    )
  }
}

function rangeDeleted(result: ResultOf<DeleteRangeCommand>, context: AnswerContext) {
  if (result.type === 'key-reused') throw refusalOf(result).reflecting(context)
  assert(result.type === 'range-deleted', 'a delete of a range up to the limit is answered as such')
  return result
}
