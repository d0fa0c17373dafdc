import type { KeyLease } from '../../../src/kv/index.ts'
import type { LeaseMoment } from '../../kv/support/lease-model.ts'
import { describeOperation } from '../../../src/checker/operation.ts'
import type { Operation } from '../history/operation.ts'
import { Violation } from '../world/violation.ts'
import type { TimesOfLog } from './entry-times.ts'
import type { ExecutedLog } from './executed-log.ts'
import { objectTo } from './objection.ts'

export interface LeaseOptions {
  /** The clocks of machines differ in speed by no more than a tenth, and do not jump. */
  readonly clocksHold: boolean
}

/** The grant, or a renewal, of a lease that its holder knows of. */
interface Grant {
  readonly invokedAt: number
  readonly returnedAt: number
  readonly ttlMs: number
}

const KEY_LEASES = 2_000_000_000_000_000

/**
 * A lease never ends before its time: neither as the log tells it, from the moment at which the entry was committed that began it last, nor as
 * its holder measures it, from the moment at which it asked. It is granted to one request. Nothing is written with a lease that is gone.
 */
export class Leases {
  /** Leases that ended because their time was over, and answers that a lease is gone which were held against its time. */
  expired = 0
  /** Those of them that were measured by the clock of the leader that has ended them. */
  measured = 0
  goneChecked = 0
  attached = 0
  private readonly log: ExecutedLog
  private readonly times: TimesOfLog
  private readonly options: LeaseOptions

  constructor(options: LeaseOptions, log: ExecutedLog, times: TimesOfLog) {
    this.options = options
    this.log = log
    this.times = times
  }

  check(history: readonly Operation[]): void {
    this.checkEnds()
    this.checkGrants(history)
    for (const operation of history) this.checkWritten(operation)
    if (this.options.clocksHold) this.checkHolders(history)
  }

  /** The leader ends a lease when its time is over, whoever leads and whatever has happened to its clock. */
  private checkEnds(): void {
    const decided = new Set<string>()
    for (const moment of this.log.model.leases.moments) {
      const name = `${moment.lease} ${moment.startedAt}`
      if (moment.type === 'started' || decided.has(name)) continue
      decided.add(name)
      if (!this.log.isByLeader(moment.index)) continue
      this.expired += 1
      this.checkByLeader(moment)
      if (this.options.clocksHold) this.checkEnd(moment)
    }
  }

  /** Whatever clocks do, no leader ends a lease before its length has passed on its own clock. */
  private checkByLeader({ lease, use, startedAt, index, lengthMs }: LeaseMoment): void {
    const waited = this.times.leaderWaited(startedAt, index)
    if (waited === null) return
    this.measured += 1
    if (waited >= lengthMs) return
    const where = `which began at ${startedAt} and was ended at ${index}`
    const what = `lasted for ${waited} ms by the clock of the leader that has ended it, not ${lengthMs}`
    throw new Violation('leases', `the lease ${lease} (${use}), ${where}, ${what}`)
  }

  private checkEnd({ lease, use, startedAt, index, lengthMs }: LeaseMoment): void {
    const lasted = this.times.writtenAt(index) - this.times.committedAt(startedAt)
    if (lasted >= lengthMs) return
    const where = `which began at ${startedAt} and was ended at ${index}`
    throw new Violation('leases', `the lease ${lease} (${use}), ${where}, lasted for ${lasted} ms, not ${lengthMs}`)
  }

  private checkGrants(history: readonly Operation[]): void {
    const granted = new Map<number, Operation>()
    for (const operation of history) {
      const { outcome, request } = operation
      if (outcome.kind !== 'answered' || outcome.answer.type !== 'write' || request.type !== 'write') continue
      const { result } = outcome.answer
      const { command } = request
      if (result.type !== 'lease-granted' || command.type !== 'lease-grant' || command.id !== null) continue
      const other = granted.get(result.lease)
      if (other !== undefined && command.idempotency === null)
        objectTo(operation, 'leases', `is given the lease of another: ${describeOperation(other)}`)
      granted.set(result.lease, operation)
    }
  }

  /** The lease that a key was put with is there, and the key belongs to it. */
  private checkWritten(operation: Operation): void {
    const { outcome, request } = operation
    if (outcome.kind !== 'answered' || outcome.answer.type !== 'write' || request.type !== 'write') return
    const { result } = outcome.answer
    const { command } = request
    if (command.type === 'put' && result.type === 'put') {
      const { key, lease } = command
      this.checkAttachment(operation, { key, lease: leaseOf(lease, result.revision) }, result.revision)
    }
    if (command.type !== 'transaction' || result.type !== 'transaction') return
    for (const one of result.succeeded ? command.success : command.failure)
      if (one.type === 'put') this.checkAttachment(operation, { key: one.key, lease: one.lease ?? 0 }, result.revision)
  }

  private checkAttachment(
    operation: Operation,
    { key, lease }: { readonly key: Parameters<ExecutedLog['model']['recordAt']>[0]; readonly lease: number },
    revision: number,
  ): void {
    const record = this.log.model.recordAt(key, revision)
    if (record?.modRevision !== revision || record.lease !== lease)
      objectTo(operation, 'leases', `has written ${key} with the lease ${record?.lease ?? 0}, and not with ${lease}`)
    if (lease === 0) return
    this.attached += 1
    const ended = this.log.model.leases.moments.findLast((one) => one.lease === lease && one.index <= revision)
    if (ended === undefined || ended.type !== 'started')
      objectTo(operation, 'leases', `has written ${key} with the lease ${lease}, which was gone`)
  }

  /** Who was granted a lease, or has renewed it, has it from then on for as long as it lasts, unless somebody ends it. */
  private checkHolders(history: readonly Operation[]): void {
    const grants = grantsOf(history)
    const endings = new Map<number, number>()
    for (const { request, invokedAt } of history) {
      if (request.type !== 'write') continue
      const { command } = request
      const id = command.type === 'lease-revoke' ? command.id : command.type === 'lock-release' ? command.lease : null
      if (id !== null) endings.set(id, Math.min(invokedAt, endings.get(id) ?? Infinity))
    }
    for (const operation of history) {
      const { outcome, request, invokedAt, returnedAt } = operation
      if (outcome.kind !== 'answered' || outcome.answer.type !== 'write' || request.type !== 'write') continue
      const { result } = outcome.answer
      // What a write is told that is sent again is about its first execution.
      const isOfThePresent = operation.repeats !== true || request.command.type === 'lease-renew'
      if (result.type !== 'lease-not-found' || !isOfThePresent) continue
      this.goneChecked += 1
      if ((endings.get(result.lease) ?? Infinity) < returnedAt) continue
      const standing = grants
        .get(result.lease)
        ?.find((one) => one.returnedAt < invokedAt && returnedAt < one.invokedAt + one.ttlMs)
      if (standing === undefined) continue
      const since = `which was granted to a request of ${standing.invokedAt.toFixed(2)} for ${standing.ttlMs} ms`
      objectTo(operation, 'leases', `is told that the lease is gone, ${since}, and nobody has ended it`)
    }
  }
}

function grantsOf(history: readonly Operation[]): Map<number, Grant[]> {
  const grants = new Map<number, Grant[]>()
  for (const { outcome, request, repeats, invokedAt, returnedAt } of history) {
    if (outcome.kind !== 'answered' || outcome.answer.type !== 'write' || request.type !== 'write') continue
    const { result } = outcome.answer
    // Only a renewal that is sent again says something of the time from then on.
    if (repeats === true && result.type !== 'lease-renewed') continue
    const isGrant = result.type === 'lease-granted' || result.type === 'lease-renewed'
    const ttlMs = isGrant ? result.ttlMs : request.command.type === 'lock-acquire' ? request.command.ttlMs : null
    if (ttlMs === null || (!isGrant && result.type !== 'lock-acquired')) continue
    const known = grants.get(result.lease)
    const grant = { invokedAt, returnedAt, ttlMs }
    if (known === undefined) grants.set(result.lease, [grant])
    else known.push(grant)
  }
  return grants
}

function leaseOf(lease: KeyLease | undefined, revision: number): number {
  if (lease === undefined) return 0
  return lease.type === 'granted' ? lease.id : KEY_LEASES + revision
}
