import type {
  AnswerContext,
  Caller,
  LeasePage,
  LeaseAccess,
  LockOutcome,
  LockQueue,
  LockView,
  ReadOptions,
} from '../../api/services.ts'
import { limits } from '../../limits.ts'
import { RequestError } from '../../lib/errors.ts'
import { stepOf } from '../../lib/stages.ts'
import type {
  Key,
  KeyRange,
  Lease,
  LeaseRevokeCommand,
  Lock,
  LockAcquireCommand,
  ResultOf,
  RowKey,
} from '../../kv/index.ts'
import {
  decodeLease,
  decodeLock,
  denialError,
  holderOf,
  leaseRow,
  lengthOf,
  lockRow,
  NODE_ITSELF,
  revisionOfLockLease,
} from '../../kv/index.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Permissions } from '../auth/permissions.ts'
import type { Replica } from '../replica.ts'
import { leaderRequests } from '../requests/leader-requests.ts'
import type { RowFetcher } from '../state/row-fetcher.ts'
import { identified, type Keys } from './keys.ts'
import { keysIn, leaseIn, leasesIn, lockIn, locksIn, waitersIn } from './lease-views.ts'
import type { Past } from './past.ts'
import type { ReadGate } from './read-gate.ts'
import type { StoreWaits, Until } from './store-waits.ts'

export interface LeasesDependencies {
  readonly replica: Replica
  readonly keys: Keys
  readonly past: Past
  readonly gate: ReadGate
  readonly clock: Clock
  readonly fetcher: RowFetcher
  readonly waits: StoreWaits
}

type Acquired = Extract<LockOutcome['result'], { type: 'lock-acquired' }>

/** Leases and locks, on any node. */
export class Leases implements LeaseAccess {
  private readonly deps: LeasesDependencies

  constructor(deps: LeasesDependencies) {
    this.deps = deps
    const { leaderCalls, lessor } = deps.replica
    leaderCalls.handle(leaderRequests.leaseTime, async (id) => lessor.remainingMs(id))
  }

  async get(id: number, page: LeasePage<Key>, options: ReadOptions) {
    const { past, waits, clock } = this.deps
    const { deadline } = waits.until(options)
    const { lease, keys, context } = await past.read(options, async ({ view, context }) => {
      const lease = await leaseIn(view, id)
      const keys = lease === null ? { items: [], more: false } : await keysIn(view, id, lease, page)
      return { lease, keys, context }
    })
    if (lease === null) return { lease: null, context }
    const remainingMs = await this.remainingMs(id, lease, deadline - clock.now())
    return { lease: { id, lease, remainingMs, keys }, context }
  }

  list(page: LeasePage<number>, options: ReadOptions) {
    return this.deps.past.read(options, async ({ view, context }) => ({ ...(await leasesIn(view, page)), context }))
  }

  async lock(name: Key, options: ReadOptions): Promise<LockView> {
    const { gate, waits } = this.deps
    const until = waits.until(options)
    const consistency = await gate.reach(options)
    const context = gate.context(consistency)
    const lock = await this.lockNamed(name, until)
    // The row may be from later than what the gate let through: the client's right may have ended since.
    await gate.judge(options, consistency)
    return { lock, context }
  }

  lockQueue(name: Key, limit: number, options: ReadOptions): Promise<LockQueue> {
    return this.deps.past.read(options, async ({ view, context }) => ({
      lock: await lockIn(view, name),
      waiters: await waitersIn(view, name, limit),
      context,
    }))
  }

  locks(range: KeyRange, page: LeasePage<Key>, options: ReadOptions) {
    return this.deps.past.read(options, async ({ view, context }) => ({
      ...(await locksIn(view, range, page)),
      context,
    }))
  }

  async acquire(asked: LockAcquireCommand, timeoutMs: number, caller: Caller | null = null): Promise<LockOutcome> {
    const leave = asked.waitMs > 0 ? this.deps.replica.lockWaits.enter() : null
    try {
      return await this.acquireInside(asked, timeoutMs, caller)
    } finally {
      leave?.()
    }
  }

  private async acquireInside(
    asked: LockAcquireCommand,
    timeoutMs: number,
    caller: Caller | null,
  ): Promise<LockOutcome> {
    const first = await this.deps.keys.execute(asked, timeoutMs, caller)
    // The node may have learned of the client's token by carrying the request out.
    const command = identified(asked, caller)
    let outcome: LockOutcome
    try {
      outcome = await this.outcomeOf(first, command, timeoutMs, caller)
    } catch (error) {
      throw error instanceof RequestError && !isDenial(error) ? placeUnknown(error) : error
    }
    if (caller !== null) this.handOver(command, outcome, caller)
    return outcome
  }

  private async outcomeOf(
    { result, context }: { readonly result: ResultOf<LockAcquireCommand>; readonly context: AnswerContext },
    command: LockAcquireCommand,
    timeoutMs: number,
    caller: Caller | null,
  ): Promise<LockOutcome> {
    if (result.type === 'lock-queued') return await this.afterWait(command, result.lease, timeoutMs, caller)
    if (result.type !== 'lock-acquired' || command.idempotency === null) return { result, context }
    return { result: await this.stillHeld(result, this.deps.waits.until({ timeoutMs, caller })), context }
  }

  /**
   * Gives a lock back that its client will not hear of. One of a named request stays: a retry may have been told of it on another node. Throws
   * `RequestError`.
   */
  private handOver(command: LockAcquireCommand, { result }: LockOutcome, caller: Caller): void {
    if (result.type !== 'lock-acquired' || command.idempotency !== null) return
    const { lease } = result
    if (hasLeft(caller)) {
      this.giveUp(command, lease)
      throw leftBehind()
    }
    caller.onUndelivered?.(() => this.giveUp(command, lease))
  }

  /** The first answer to a named request, which may be one from long ago. */
  private async stillHeld(acquired: Acquired, until: Until): Promise<LockOutcome['result']> {
    const { lease } = acquired
    const bytes = await this.row(leaseRow(lease), until)
    const isHeld = bytes !== null && !decodeLease(bytes).isEnding
    return isHeld ? acquired : { type: 'lock-wait-ended', lease }
  }

  private async afterWait(
    command: LockAcquireCommand,
    lease: number,
    timeoutMs: number,
    caller: Caller | null,
  ): Promise<LockOutcome> {
    const { replica, clock, gate } = this.deps
    let token: number | null
    const since = clock.now()
    try {
      const waiting = new AllowedCaller(command, caller, replica.permissions)
      const waited = replica.lockWaits.wait(lease, since + command.waitMs, waiting)
      const outcome = await waited.finally(() => caller?.onStep?.(stepOf('wait', clock.now()), since))
      waiting.check()
      if (outcome.kind === 'ended')
        return { result: { type: 'lock-wait-ended', lease }, context: gate.context('linearizable') }
      if (outcome.kind === 'gone') throw new RequestError('read-timeout', 'its client has left')
      token = outcome.kind === 'acquired' ? outcome.token : await this.leaveQueue(lease, timeoutMs)
    } catch (error) {
      if (isDenial(error) && command.idempotency !== null) throw await this.afterDenial(error, lease, timeoutMs)
      this.giveUp(command, lease)
      throw error
    }
    const now = gate.context('linearizable')
    if (token !== null) return { result: { type: 'lock-acquired', lease, token }, context: now }
    const lock = await this.lockNamed(command.name, this.deps.waits.until({ timeoutMs, caller }))
    return { result: { type: 'lock-held', holder: lock === null ? null : holderOf(lock) }, context: now }
  }

  /**
   * The answer to a named request whose token may not have the lock any more. Its place is given up first. If the lock has come already, it
   * stays: another try of the request may have been told of it before the token was revoked.
   */
  private async afterDenial(denial: RequestError, lease: number, timeoutMs: number): Promise<RequestError> {
    const token = await this.leaveQueue(lease, timeoutMs)
    return token === null ? denial : new RequestError('outcome-unknown', denial.message)
  }

  /** The wait is over. Returns the token when the lock came first: its entry was ahead of the one that leaves the queue. */
  private async leaveQueue(lease: number, timeoutMs: number): Promise<number | null> {
    const { result } = await this.deps.keys.execute(leaveOf(lease), timeoutMs)
    if (result.type !== 'lease-kept') return null
    const bytes = await this.row(leaseRow(lease), this.deps.waits.until({ timeoutMs }))
    const use = bytes === null ? null : decodeLease(bytes).use
    return use?.type === 'holder' ? use.token : null
  }

  /**
   * Nobody wants the answer of this node any more. Only the place in the queue of a named request is given up: a retry on another node may have
   * the lock by now. Nobody else can know the lease of a request without a name, so the lock goes as well.
   */
  private giveUp({ idempotency }: LockAcquireCommand, lease: number): void {
    const leave = leaveOf(lease)
    const command = idempotency === null ? { ...leave, ifRenewedAt: null } : leave
    // When this fails, the leader ends the lease, at the end of the wait or of the time to live.
    this.deps.keys.execute(command, limits.requestTimeoutMsMax).catch(() => undefined)
  }

  private async lockNamed(name: Key, until: Until): Promise<Lock | null> {
    const bytes = await this.row(lockRow(name), until)
    return bytes === null ? null : decodeLock(bytes)
  }

  private async row(row: RowKey, until: Until): Promise<Uint8Array | null> {
    const { replica, fetcher, waits } = this.deps
    for (;;) {
      const known = replica.rows.peek(row)
      if (known !== undefined) return known
      const { bytes, changed } = await waits.within(until, () => fetcher.fetch(row))
      if (!changed) return bytes
    }
  }

  /** The leader measures the time. One that has just been elected has begun every lease again, and may not know this one yet. */
  private async remainingMs(id: number, lease: Lease, timeoutMs: number): Promise<number> {
    try {
      const known = await this.deps.replica.leaderCalls.call(leaderRequests.leaseTime, id, {
        timeoutMs,
        repeatable: true,
        behalf: 'node',
      })
      return known ?? lengthOf(lease)
    } catch (error) {
      const isLate = error instanceof RequestError && error.code === 'outcome-unknown'
      throw isLate
        ? new RequestError('read-timeout', 'the leader has not told in time how long the lease lasts')
        : error
    }
  }
}

/** The client that waits for a lock, for as long as its token may have it. */
class AllowedCaller implements Caller {
  private readonly command: LockAcquireCommand
  private readonly caller: Caller | null
  private readonly permissions: Permissions

  constructor(command: LockAcquireCommand, caller: Caller | null, permissions: Permissions) {
    this.command = command
    this.caller = caller
    this.permissions = permissions
  }

  get isGone(): boolean {
    return (this.caller !== null && hasLeft(this.caller)) || this.permissions.refuseCommand(this.command) !== null
  }

  /** Throws `RequestError`. */
  check(): void {
    const denial = this.permissions.refuseCommand(this.command)
    if (denial !== null) throw denialError(denial)
  }
}

/** A client that has closed its sending side has most likely left: a lock is not for one that might have. */
function hasLeft(caller: Caller): boolean {
  return caller.hasEnded ?? caller.isGone
}

function leftBehind(): RequestError {
  return new RequestError(
    'outcome-unknown',
    'the request has received the lock, and gives it back: its client has closed its side of the connection, so it may have left; ' +
      'keep the connection open until the answer has come',
  )
}

/** Nothing is done for whoever is told this: the place is given up, and so is a lock that nobody else can know of. */
function isDenial(error: unknown): error is RequestError {
  return error instanceof RequestError && (error.code === 'unauthenticated' || error.code === 'forbidden')
}

/** Ends the lease while it waits for a lock, and not when it has received the lock. */
function leaveOf(lease: number): LeaseRevokeCommand {
  return {
    type: 'lease-revoke',
    id: lease,
    ifRenewedAt: revisionOfLockLease(lease),
    token: NODE_ITSELF,
    idempotency: null,
  }
}

/** The request is in the log, whatever has kept this node from telling what became of it. */
function placeUnknown({ message }: RequestError): RequestError {
  return new RequestError(
    'outcome-unknown',
    `the request may have received the lock: ${message}; ` +
      'a place in the queue is given up, and a lock that nobody keeps alive passes on when its length is over',
  )
}
