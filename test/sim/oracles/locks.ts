import type { Key, LockAcquireCommand } from '../../../src/kv/index.ts'
import { fencedKey } from '../history/fenced-key.ts'
import { describeOperation, describeResult, type WriteResult } from '../../../src/checker/operation.ts'
import type { Operation } from '../history/operation.ts'
import type { LeaseMoment } from '../../kv/support/lease-model.ts'
import type { TimesOfLog } from './entry-times.ts'
import type { ExecutedLog } from './executed-log.ts'
import { objectTo } from './objection.ts'
import { isAlike } from './plain.ts'

export interface LockOptions {
  /** The clocks of machines differ in speed by no more than a tenth, and do not jump. */
  readonly clocksHold: boolean
  /** Nothing is wrong within this time of the world; null: something always may be. */
  readonly calm: { readonly from: number; readonly to: number } | null
  /** How long a request takes when nothing is wrong, and how long until a node looks who has left. */
  readonly promptMs: number
}

/** A request for a lock that was told that it has it. */
interface Holding {
  readonly operation: Operation
  readonly command: LockAcquireCommand
  readonly lease: number
  readonly token: number
}

/** A time for which a holder is certain that it has the lock. */
interface Span {
  readonly holding: Holding
  readonly from: number
  readonly to: number
}

/**
 * A lock has one holder at a time, and its tokens grow: as the log has it, in the time of the world, and for what is written behind it. Those
 * who wait have it in the order in which they came. When nothing is wrong, whoever is next is told at once, and nobody waits who has left.
 */
export class Locks {
  acquired = 0
  /** Those who have the lock after a wait, who have waited in vain, and who have left. */
  handedOver = 0
  waitedInVain = 0
  left = 0
  fencedWrites = 0
  private readonly log: ExecutedLog
  private readonly times: TimesOfLog
  private readonly options: LockOptions
  private readonly moments = new Map<number, LeaseMoment[]>()

  constructor(options: LockOptions, log: ExecutedLog, times: TimesOfLog) {
    this.options = options
    this.log = log
    this.times = times
    for (const moment of log.model.leases.moments) {
      const known = this.moments.get(moment.lease)
      if (known === undefined) this.moments.set(moment.lease, [moment])
      else known.push(moment)
    }
  }

  check(history: readonly Operation[]): void {
    const holdings: Holding[] = []
    for (const operation of history) {
      const { request, outcome } = operation
      if (request.type !== 'write' || request.command.type !== 'lock-acquire') continue
      const { command } = request
      this.checkLeft(operation, command)
      if (outcome.kind !== 'answered') continue
      for (const { answer } of operation.heard ?? [outcome]) {
        if (answer.type !== 'write') continue
        this.checkAnswer(operation, command, answer.result)
        const { result } = answer
        if (result.type !== 'lock-acquired') continue
        this.acquired += 1
        holdings.push({ operation, command, lease: result.lease, token: result.token })
      }
    }
    for (const some of byLock(holdings)) {
      this.checkTokens(some)
      if (this.options.clocksHold) this.checkExclusion(some, history)
    }
    this.checkFencing(holdings, history)
  }

  /** What the request came to in the log, and after its wait. */
  private checkAnswer(operation: Operation, command: LockAcquireCommand, answer: WriteResult): void {
    const results = this.log.resultsOf(command)
    if (answer.type === 'lock-acquired' && this.overAt(answer.lease) < operation.invokedAt)
      objectTo(operation, 'locks', 'is told that it has the lock, though its lease was over before it asked')
    const isExplained = results.some((result) => {
      if (result.type === 'lock-acquired' && answer.type === 'lock-wait-ended' && isNamed(operation))
        return answer.lease === result.lease && this.overAt(result.lease) <= operation.returnedAt
      if (result.type !== 'lock-queued') return isAlike(result, answer)
      if (answer.type === 'lock-acquired') return this.isHandedOver(operation, result.lease, answer)
      if (answer.type !== 'lock-held' && (answer.type !== 'lock-wait-ended' || answer.lease !== result.lease))
        return false
      this.waitedInVain += 1
      // Whoever is told that the wait was in vain neither waits any more nor has the lock.
      return this.overAt(result.lease) <= operation.returnedAt
    })
    if (isExplained) return
    const what = results.map(describeResult).join(' or ')
    objectTo(operation, 'locks', `is answered ${describeResult(answer)}, and the log has ${what}`)
  }

  private isHandedOver(operation: Operation, lease: number, answer: { lease: number; token: number }): boolean {
    const given = this.moments.get(lease)?.find(({ type, use }) => type === 'started' && use === 'holder')
    if (answer.lease !== lease || given?.startedAt !== answer.token) return false
    this.handedOver += 1
    const at = this.times.committedAt(answer.token)
    const isPrompt = operation.returnedAt <= Math.max(at, operation.invokedAt) + this.options.promptMs
    if (!isNamed(operation) && this.isCalm(at) && !isPrompt)
      objectTo(operation, 'locks', `is told late that it has the lock, which it was given at ${at.toFixed(2)}`)
    return true
  }

  /** When the lease has ended, or begun to end, in the time of the world; Infinity: it has not. */
  private overAt(lease: number): number {
    const over = this.moments.get(lease)?.find(({ type }) => type !== 'started')
    return over === undefined ? Infinity : this.times.committedAt(over.index)
  }

  /** Who leaves while it waits has left the queue soon. */
  private checkLeft(operation: Operation, command: LockAcquireCommand): void {
    const { leftAt } = operation
    if (leftAt === undefined || command.idempotency !== null) return
    const queued = this.log.resultsOf(command).find((result) => result.type === 'lock-queued')
    if (queued?.type !== 'lock-queued') return
    this.left += 1
    const [began, after] = this.moments.get(queued.lease) ?? []
    if (began === undefined) return
    const from = Math.max(leftAt, this.times.committedAt(began.index))
    if (!this.isCalm(from)) return
    const until = after === undefined ? Infinity : this.times.committedAt(after.index)
    if (until <= from + this.options.promptMs) return
    objectTo(operation, 'locks', `has left at ${leftAt.toFixed(2)}, and was in the queue until ${until.toFixed(2)}`)
  }

  private isCalm(at: number): boolean {
    const { calm, promptMs } = this.options
    return calm !== null && at >= calm.from && at + promptMs <= calm.to
  }

  /** `holdings`: of one lock, by their leases, which is the order in which they came. */
  private checkTokens(holdings: readonly Holding[]): void {
    for (const [at, { operation, lease, token }] of holdings.entries()) {
      const before = holdings[at - 1]
      if (before === undefined || (before.lease === lease && before.token === token)) continue
      if (before.lease === lease || before.token >= token)
        objectTo(operation, 'locks', `does not have a larger token than who came before: ${nameOf(before)}`)
    }
    for (const { operation, token } of holdings) {
      // A request that is sent again is told of its own token again.
      const least = operation.repeats === true ? token + 1 : token
      const later = holdings.find((one) => one.operation.returnedAt < operation.invokedAt && one.token >= least)
      if (later !== undefined)
        objectTo(operation, 'locks', `has a token no larger than one that was told before: ${nameOf(later)}`)
    }
  }

  /** Two holders never have the lock at once, as far as each of them can tell that its lease lasts. */
  private checkExclusion(holdings: readonly Holding[], history: readonly Operation[]): void {
    const first = holdings.filter(({ operation }) => operation.repeats !== true)
    const spans = first.flatMap((holding) => spansOf(holding, history)).sort((one, other) => one.from - other.from)
    for (const [at, span] of spans.entries()) {
      const other = spans.slice(0, at).find(({ holding, to }) => holding.lease !== span.holding.lease && to > span.from)
      if (other === undefined) continue
      const until = `until ${Math.min(other.to, span.to).toFixed(2)}`
      objectTo(span.holding.operation, 'locks', `has the lock together with another ${until}: ${nameOf(other.holding)}`)
    }
  }

  /** What is written with the lease of a lock comes in the order of the tokens. */
  private checkFencing(holdings: readonly Holding[], history: readonly Operation[]): void {
    const tokens = new Map(holdings.map(({ lease, token }) => [lease, token]))
    const latest = new Map<Key, { readonly token: number; readonly operation: Operation }>()
    for (const { operation, key, lease } of fencedWrites(history)) {
      const token = tokens.get(lease)
      const name = this.moments.get(lease)?.[0]?.lock ?? null
      if (token === undefined || name === null || fencedKey(name) !== key) continue
      this.fencedWrites += 1
      const before = latest.get(key)
      if (before !== undefined && before.token > token)
        objectTo(operation, 'locks', `writes behind a token of the past: ${describeOperation(before.operation)}`)
      latest.set(key, { token, operation })
    }
  }
}

function byLock(holdings: readonly Holding[]): Holding[][] {
  const groups = new Map<Key, Holding[]>()
  for (const holding of [...holdings].sort((one, other) => one.lease - other.lease)) {
    const known = groups.get(holding.command.name)
    if (known === undefined) groups.set(holding.command.name, [holding])
    else known.push(holding)
  }
  return [...groups.values()]
}

/** From an answer on, and for the length of the lease from the request on; the first request to end the lease ends it. */
function spansOf(holding: Holding, history: readonly Operation[]): Span[] {
  const { operation, command, lease } = holding
  const asked = [{ ...operation, ttlMs: command.ttlMs }]
  let endedAt = Infinity
  for (const one of history) {
    if (one.request.type !== 'write') continue
    const { command: other } = one.request
    const isEnd =
      (other.type === 'lease-revoke' && other.id === lease) || (other.type === 'lock-release' && other.lease === lease)
    if (isEnd) endedAt = Math.min(endedAt, one.invokedAt)
    const isRenewed = one.outcome.kind === 'answered' && one.outcome.answer.type === 'write'
    if (other.type !== 'lease-renew' || other.id !== lease || !isRenewed) continue
    if (one.outcome.kind === 'answered' && one.outcome.answer.type === 'write')
      if (one.outcome.answer.result.type === 'lease-renewed') asked.push({ ...one, ttlMs: command.ttlMs })
  }
  return asked.flatMap(({ invokedAt, returnedAt, ttlMs }) => {
    const to = Math.min(invokedAt + ttlMs, endedAt)
    return to > returnedAt ? [{ holding, from: returnedAt, to }] : []
  })
}

/** Acknowledged puts with a lease, in the order of their revisions. */
function fencedWrites(history: readonly Operation[]): { operation: Operation; key: Key; lease: number }[] {
  return history
    .flatMap((operation) => {
      const { request, outcome } = operation
      if (request.type !== 'write' || outcome.kind !== 'answered' || outcome.answer.type !== 'write') return []
      const { command } = request
      const { result } = outcome.answer
      if (command.type !== 'put' || command.lease?.type !== 'granted' || result.type !== 'put') return []
      return [{ operation, key: command.key, lease: command.lease.id, revision: result.revision }]
    })
    .sort((one, other) => one.revision - other.revision)
}

function isNamed({ request }: Operation): boolean {
  return request.type === 'write' && request.command.idempotency !== null
}

function nameOf({ operation }: Holding): string {
  return describeOperation(operation)
}
