import { limits } from '../limits.ts'
import { textFrom } from './arguments.ts'
import { pause } from './awaited.ts'
import { LeaseLostError, ProblemError } from './errors.ts'
import { LeaseKeeper, leaseNow } from './lease-keeper.ts'
import { Kept } from './leases.ts'
import { durationFrom, type ReadOptions, type RequestOptions, type WriteOptions } from './options.ts'
import { boundsOf, readQuery, type Range } from './ranges.ts'
import type { Requests } from './requests.ts'
import { pauseMsAfter } from './retry-policy.ts'
import type { Query } from './servers.ts'

export interface LockOptions extends RequestOptions {
  /** How long the lock outlives a holder that is gone, from 1,000 ms to 30 days. Absent: 10 s. */
  readonly ttlMs?: number | undefined
  /** How long to wait for it. Absent: until it is free, or `signal` aborts. */
  readonly waitMs?: number | undefined
  /** Told to others who ask for the lock. */
  readonly owner?: string | undefined
}

/** A lock that is held until it is released. Disposing of it (`await using`) releases it. */
export interface Lock extends AsyncDisposable {
  readonly name: string
  /**
   * Grows with every holder of this lock. What the lock protects refuses a smaller token than the largest it has seen, so that a holder that
   * does not know yet that it has lost the lock does no harm.
   */
  readonly token: number
  /** The lease that holds it. */
  readonly lease: number
  /** Aborts with a `LeaseLostError` when the lock can no longer be counted on. */
  readonly signal: AbortSignal
  /** Whether the lock is certainly held at this moment. */
  readonly isHeld: boolean
  release(options?: WriteOptions): Promise<void>
}

export interface LockStatus {
  readonly name: string
  /** Null: nobody holds it. */
  readonly holder: { readonly lease: number; readonly token: number; readonly owner: string } | null
  /** How many wait for it. */
  readonly waiting: number
  /** With `waiters`: the first of those who wait, in the order in which they get it. */
  readonly waiters?: readonly { readonly lease: number; readonly owner: string }[]
}

export interface LockStatusOptions extends Omit<ReadOptions, 'revision'> {
  /** List those who wait, the first 100 of them. */
  readonly waiters?: boolean | undefined
}

export interface LockListOptions extends Omit<ReadOptions, 'revision'> {
  /** How many locks at most. Absent: all. */
  readonly limit?: number | undefined
}

interface LocksPage {
  readonly locks: readonly LockStatus[]
  readonly cursor?: string
}

interface Acquired {
  readonly token: number
  readonly lease: number
}

class HeldLock extends Kept implements Lock {
  readonly name: string
  readonly token: number
  private readonly requests: Requests

  constructor(name: string, token: number, keeper: LeaseKeeper, requests: Requests) {
    super(keeper)
    this.name = name
    this.token = token
    this.requests = requests
  }

  get lease(): number {
    return this.keeper.id
  }

  protected async end(options: WriteOptions): Promise<void> {
    await released(this.name, this.lease, this.requests, options)
  }
}

async function released(name: string, lease: number, requests: Requests, options: WriteOptions): Promise<void> {
  await requests.write({ method: 'DELETE', ...placeOf(name, { lease: String(lease) }) }, options)
}

/** Where the lock is. A name that something on the way could take for another path goes into the query. */
function placeOf(name: string, query: Query = {}): { readonly path: string; readonly query: Query } {
  const isPlain = textFrom('name', name)
    .split('/')
    .every((part) => part !== '' && part !== '.' && part !== '..')
  return isPlain ? { path: `/locks/${encodeURIComponent(name)}`, query } : { path: '/locks', query: { name, ...query } }
}

const ttlMsDefault = 10_000

/**
 * The locks of a cluster.
 *
 * @internal
 */
export class Locks {
  private readonly requests: Requests

  constructor(requests: Requests) {
    this.requests = requests
  }

  /** Waits for the lock. Rejects with a `ProblemError` of code `lock-held` when it is not free in `waitMs`. */
  async lock(name: string, options: LockOptions): Promise<Lock> {
    const { ttlMs = ttlMsDefault, owner, signal, timeoutMs } = options
    // No name of the caller: each time that it is asked for anew is another request.
    const rest = { signal, timeoutMs }
    const until = performance.now() + durationFrom('waitMs', options.waitMs ?? Number.POSITIVE_INFINITY)
    for (let vain = 0; ; vain += 1) {
      const startedAt = performance.now()
      const waitMs = Math.max(0, Math.min(limits.clientLockWaitMsMax, Math.ceil(until - startedAt)))
      const sentAt = leaseNow()
      // A retry waits for what the attempts before it have left. To the server it is the same request all the same.
      const json = (waitMs: number): object => ({ ttlMs, waitMs, ...(owner === undefined ? {} : { owner }) })
      try {
        const call = { method: 'POST', ...placeOf(name), json, lane: 'own', waitMs } as const
        const acquired = await this.requests.write<Acquired>(call, rest)
        const lock = await this.held(name, ttlMs, acquired, sentAt, rest)
        if (lock !== null) return lock
      } catch (error) {
        const code = error instanceof ProblemError ? error.code : null
        // A retry found that the server had given up the place in the queue: a broken connection looks like a client that has left.
        const isAskedAnew = code === 'lock-wait-ended' || (code === 'lock-held' && performance.now() < until)
        if (!isAskedAnew) throw error
      }
      // A whole wait that was in vain is pause enough.
      if (waitMs > 0 && performance.now() - startedAt >= waitMs) vain = -1
      else await pause(pauseMsAfter(vain), signal === undefined ? [] : [signal])
      signal?.throwIfAborted()
    }
  }

  async status(name: string, { waiters, ...options }: LockStatusOptions): Promise<LockStatus> {
    const query = { ...readQuery(options), waiters: waiters === true ? 'true' : undefined }
    return await this.requests.read<LockStatus>({ method: 'GET', ...placeOf(name, query) }, options)
  }

  async *list(
    range: Range,
    { limit = Number.POSITIVE_INFINITY, ...options }: LockListOptions,
  ): AsyncGenerator<LockStatus, void, undefined> {
    const bounds = { ...boundsOf(range), ...readQuery(options) }
    let cursor: string | undefined
    for (let left = limit; left > 0;) {
      const query = { ...bounds, limit: String(Math.min(left, limits.listItemsMax)), cursor }
      const page: LocksPage = await this.requests.read<LocksPage>({ method: 'GET', path: '/locks', query }, options)
      yield* page.locks
      left -= page.locks.length
      cursor = page.cursor
      if (cursor === undefined) return
    }
  }

  /** The lock once its lease is known to be alive; null when it was lost before its answer came. */
  private async held(
    name: string,
    ttlMs: number,
    { token, lease }: Acquired,
    sentAt: number,
    options: RequestOptions,
  ): Promise<Lock | null> {
    try {
      const keeper = await LeaseKeeper.of({ id: lease, ttlMs }, sentAt, this.requests, options)
      return new HeldLock(name, token, keeper, this.requests)
    } catch (error) {
      const isLost = error instanceof LeaseLostError
      // The caller gets no lock, so nobody else would release it, unless a server has said that it is over.
      if (!isLost || error.cause === undefined) void released(name, lease, this.requests, {}).catch(() => undefined)
      if (isLost) return null
      throw error
    }
  }
}
