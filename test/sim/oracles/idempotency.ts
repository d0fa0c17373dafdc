import type { Command } from '../../../src/kv/index.ts'
import { describeAnswer, type Answer, type WriteResult } from '../../../src/checker/operation.ts'
import type { Operation } from '../history/operation.ts'
import { isUnique, type ExecutedLog } from './executed-log.ts'
import { objectTo } from './objection.ts'
import { isAlike } from './plain.ts'

type WriteAnswer = Extract<Answer, { type: 'write' }>

/**
 * Each write has one effect and one answer, whatever its kind. A write that failed for certain has none; one without a name is in the log once
 * at most, apart from a refusal for want of a token that its node did not know yet. Requests under one idempotency key get the same answer while the key is remembered (docs/HTTP.md, Try again safely), however
 * late they come.
 */
export class Idempotency {
  /** Named writes that were answered by two nodes. */
  doublesCompared = 0
  /** Named writes that were answered, and sent again later. */
  repeatsCompared = 0
  /** By name and fingerprint. */
  private readonly first = new Map<string, WriteAnswer>()
  private readonly log: ExecutedLog

  constructor(log: ExecutedLog) {
    this.log = log
  }

  check(operation: Operation): void {
    const { outcome, request } = operation
    if (request.type !== 'write') return
    const { command } = request
    const indexes = isUnique(command) ? this.log.indexesOf(command) : []
    if (outcome.kind === 'failed' && operation.repeats !== true) {
      const done = indexes.filter((index) => !this.isRefused(operation, index))
      if (done.length > 0)
        objectTo(operation, 'failed-write', `failed for certain but is in the log at ${done.join(', ')}`)
    }
    const [first, next] = indexes
    const timesMax = first !== undefined && next !== undefined && this.log.isAnew(first, next) ? 2 : 1
    if (command.idempotency === null && indexes.length > timesMax) {
      const where = `${indexes.length} times, at ${indexes.join(', ')}`
      objectTo(operation, 'exactly-once', `has no name and is in the log ${where}`)
    }
    if (outcome.kind === 'answered' && outcome.answer.type === 'write')
      this.checkDoubles(operation, command, outcome.answer)
  }

  /**
   * Whether the entry at `index` has done nothing for want of a right; or nothing that lasts: its client waited for a lock that it may not have any
   * more, and its place is given up.
   */
  private isRefused({ denials = [] }: Operation, index: number): boolean {
    if (this.log.isRefused(index)) return true
    const { leases, resultsByIndex } = this.log.model
    const result = resultsByIndex.get(index)
    if (result?.type !== 'lock-queued' || denials.length === 0) return false
    return leases.moments.some(({ lease, type }) => lease === result.lease && type !== 'started')
  }

  private checkDoubles(operation: Operation, command: Command, answer: WriteAnswer): void {
    const { idempotency } = command
    if (idempotency === null || this.log.isForgotten(idempotency.key) || isOfThePresent(command)) return
    const name = `${idempotency.key} ${idempotency.fingerprint}`
    const first = this.first.get(name)
    if (first === undefined) this.first.set(name, answer)
    else {
      this.repeatsCompared += 1
      if (!isSame(answer.result, first.result))
        objectTo(operation, 'same-answer', `was answered otherwise before: ${describeAnswer(first)}`)
    }
    for (const { answer: other } of operation.heard?.slice(1) ?? []) {
      this.doublesCompared += 1
      if (other.type === 'write' && isSame(other.result, answer.result)) continue
      objectTo(operation, 'same-answer', `was answered otherwise by another node: ${describeAnswer(other)}`)
    }
  }
}

/** Each request for a lock waits for itself, and each renewal is carried out. */
function isOfThePresent({ type }: Command): boolean {
  return type === 'lock-acquire' || type === 'lease-renew'
}

/** Whether the answers are the same, apart from a previous value that was forgotten between the two. */
function isSame(a: WriteResult, b: WriteResult): boolean {
  if (a.type !== b.type) return false
  const isForgotten = [a, b].some((one) => 'previousValueForgotten' in one || 'resultsForgotten' in one)
  return isAlike(isForgotten ? withoutValue(a) : a, isForgotten ? withoutValue(b) : b)
}

function withoutValue(result: WriteResult): WriteResult {
  if (result.type === 'transaction') return { ...result, results: [], resultsForgotten: true }
  if ((result.type !== 'put' && result.type !== 'deleted') || result.previous === null) return result
  const previous = { ...result.previous, value: new Uint8Array(0) }
  return { ...result, previous, previousValueForgotten: true }
}
