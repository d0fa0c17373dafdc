import { checkLinearizable, type Call } from './linearizability.ts'
import { keyModel, type KeyCall } from './key-model.ts'
import type { Operation } from './operation.ts'

/** The part of a history on one key that shows best why no order explains it. */
export interface Excerpt {
  /** In the order of their starts, `culprit` included. */
  readonly operations: readonly Operation[]
  /** Everything that ended before this one can be explained; with its answer nothing can. Null: it is not known. */
  readonly culprit: Operation | null
  /** How many operations on the key ended before the culprit did and are left out. */
  readonly leftOut: number
}

/** Operations that end the excerpt, besides the write that the culprit's answer comes from. */
const shownMax = 6
/** A search that takes longer than this counts as no violation, so the operation in question is kept. */
const stepsMax = 20_000

/**
 * Makes a history that is a violation as short as it can, without making a violation of one that is none: it is cut off where it first cannot be
 * explained, and reads are left out that are not needed for that.
 *
 * Both are sound. A history that can be explained can be so up to any moment, with what is open at that moment taken as unknown, and without any of
 * its reads. Without one of its writes it may not. Null: the search for something shorter takes too long.
 */
export function excerptOf(calls: readonly Call<KeyCall>[]): Excerpt | null {
  const end = firstBadEnd(calls)
  const begun = calls.filter(({ invokedAt }) => invokedAt <= end).length
  let kept = until(calls, end)
  const culprit = kept.find(({ returnedAt }) => returnedAt === end)
  if (culprit === undefined || !isViolation(kept)) return null
  for (const call of kept) {
    if (call === culprit || call.input.operation.request.type === 'write') continue
    const fewer = kept.filter((one) => one !== call)
    if (isViolation(fewer)) kept = fewer
  }
  const ordered = kept.toSorted((a, b) => a.invokedAt - b.invokedAt)
  const source = ordered.find((call) => call !== culprit && isSourceOf(culprit.input, call.input))
  const tail = ordered.slice(-shownMax)
  const shown = source === undefined || tail.includes(source) ? tail : [source, ...tail.slice(1)]
  if (!shown.includes(culprit)) shown.push(culprit)
  return {
    operations: shown.map(({ input }) => input.operation),
    culprit: culprit.input.operation,
    leftOut: begun - shown.length,
  }
}

/** The earliest end of a call by which the history cannot be explained. */
function firstBadEnd(calls: readonly Call<KeyCall>[]): number {
  const ends = calls
    .map(({ returnedAt }) => returnedAt)
    .filter((end) => end !== Infinity)
    .toSorted((a, b) => a - b)
  let [low, high] = [0, ends.length - 1]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (isViolation(until(calls, ends[middle] ?? Infinity))) high = middle
    else low = middle + 1
  }
  return ends[low] ?? Infinity
}

/** The history as it is known at the moment `end`. */
function until(calls: readonly Call<KeyCall>[], end: number): Call<KeyCall>[] {
  return calls.flatMap((call) => {
    if (call.invokedAt > end) return []
    if (call.returnedAt <= end) return [call]
    return call.input.operation.request.type === 'write'
      ? [{ ...call, returnedAt: Infinity, input: { ...call.input, answer: null } }]
      : []
  })
}

function isViolation(calls: readonly Call<KeyCall>[]): boolean {
  return checkLinearizable(calls, keyModel, stepsMax).kind === 'violation'
}

/** Whether `written` is the put whose record `read` has seen. */
function isSourceOf(read: KeyCall, written: KeyCall): boolean {
  const seen = read.answer?.type === 'get' ? read.answer.record : null
  const result = written.answer?.type === 'write' ? written.answer.result : null
  return seen !== null && result?.type === 'put' && result.revision === seen.modRevision
}
