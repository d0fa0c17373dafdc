import { assert } from '../lib/assert.ts'
import { offsetOfEntry } from '../lib/entries.ts'
import type { LogBatch, LogIndex } from '../raft/index.ts'

/**
 * The part of `batch` in `[first, last]`, which must overlap it. The body is a slice, not a copy.
 * A clipped batch keeps its membership count as an upper bound: a log store does not look into entries.
 */
export function clipBatch(batch: LogBatch, first: LogIndex, last: LogIndex): LogBatch {
  if (first <= batch.first && batch.last <= last) return batch
  assert(first <= batch.last && batch.first <= last, 'a batch is clipped to a range that it overlaps')
  const from = first > batch.first ? first : batch.first
  const to = last < batch.last ? last : batch.last
  const begin = offsetOfEntry(batch.body, from - batch.first)
  const end = to === batch.last ? batch.body.length : offsetOfEntry(batch.body, to + 1 - batch.first)
  return {
    leaderId: batch.leaderId,
    first: from,
    last: to,
    body: batch.body.subarray(begin, end),
    membershipCount: Math.min(batch.membershipCount, to - from + 1),
  }
}
