import { randomUUID } from 'node:crypto'
import { limits } from '../limits.ts'
import { nameFrom } from './arguments.ts'
import { LeaseKeeper, leaseNow } from './lease-keeper.ts'
import { AmbiguousOutcomeError, ClosedError, ConnectionError, ProblemError } from './errors.ts'
import type { ReadOptions, RequestOptions, WriteOptions } from './options.ts'
import { readQuery } from './ranges.ts'
import type { Requests } from './requests.ts'
import type { Query } from './servers.ts'

export interface GrantedLease {
  readonly id: number
  readonly ttlMs: number
}

/** A lease as a listing shows it. */
export interface LeaseSummary extends GrantedLease {
  /** `keys` may be attached; it is that of one `key`, written with a time to live; it holds a `lock`; it waits for one (`lock-wait`). */
  readonly use: 'keys' | 'key' | 'lock' | 'lock-wait'
  /** The lock that it holds or waits for. */
  readonly lock?: string
  /** It is over: some of its keys are removed, the rest is about to be. */
  readonly ending: boolean
}

export interface LeaseStatus extends LeaseSummary {
  /** How much time it has left, as the leader measures it. */
  readonly remainingMs: number
}

export interface LeaseOptions extends WriteOptions {
  /** How long the lease lives on after its last renewal, from 1,000 ms to 30 days. */
  readonly ttlMs: number
  /** Absent: the server chooses one. */
  readonly id?: number | undefined
}

/** A lease that is kept alive until it is released. Disposing of it (`await using`) releases it. */
export interface Lease extends AsyncDisposable {
  readonly id: number
  readonly ttlMs: number
  /** Aborts with a `LeaseLostError` when the lease can no longer be counted on. */
  readonly signal: AbortSignal
  /** Whether the lease is certainly held at this moment. */
  readonly isHeld: boolean
  /**
   * Ends the lease and deletes the keys that are attached to it, in one change. A second call does nothing, unless the first has failed; it
   * repeats that one then, and ends no lease that somebody else was granted under the same id meanwhile.
   */
  release(options?: WriteOptions): Promise<void>
}

/**
 * What its holder has for as long as a lease is kept alive.
 *
 * @internal
 */
export abstract class Kept {
  protected readonly keeper: LeaseKeeper
  /** The name of the release. A release that is repeated carries it again, so that it never ends what came after it. */
  private releaseName: string = randomUUID()
  private isReleased = false
  private underWay: Promise<void> | null = null

  constructor(keeper: LeaseKeeper) {
    this.keeper = keeper
  }

  get signal(): AbortSignal {
    return this.keeper.signal
  }

  get isHeld(): boolean {
    return this.keeper.isHeld
  }

  async release(options: WriteOptions = {}): Promise<void> {
    const name = options.idempotencyKey === undefined ? null : nameFrom(options.idempotencyKey)
    this.keeper.stop()
    while (this.underWay !== null) await this.underWay.catch(() => undefined)
    if (this.isReleased || this.keeper.isGone) return
    this.releaseName = name ?? this.releaseName
    this.underWay = this.end({ ...options, idempotencyKey: this.releaseName })
    try {
      await this.underWay
      this.isReleased = true
    } catch (error) {
      this.isReleased = error instanceof ProblemError && ['lease-not-found', 'lock-not-held'].includes(error.code)
      throw error
    } finally {
      this.underWay = null
    }
  }

  protected abstract end(options: WriteOptions): Promise<void>

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.signal.aborted) return
    await unlessItEndsByItself(this.release())
  }
}

class KeptLease extends Kept implements Lease {
  private readonly requests: Requests
  private readonly isChosen: boolean

  /** `isChosen`: its id is one that others may choose too. */
  constructor(keeper: LeaseKeeper, requests: Requests, isChosen: boolean) {
    super(keeper)
    this.requests = requests
    this.isChosen = isChosen
  }

  get id(): number {
    return this.keeper.id
  }

  get ttlMs(): number {
    return this.keeper.ttlMs
  }

  protected async end(options: WriteOptions): Promise<void> {
    if (!this.isChosen) return await revoked(this.id, this.requests, options)
    // Once its time is over, somebody else may have a lease of this id.
    const { leftMs } = this.keeper
    if (this.signal.aborted || leftMs <= 0) return
    const timeoutMs = Math.max(1, Math.floor(Math.min(options.timeoutMs ?? this.requests.timeoutMs, leftMs)))
    await revoked(this.id, this.requests, { ...options, timeoutMs })
  }
}

async function revoked(id: number, requests: Requests, options: WriteOptions): Promise<void> {
  await requests.write({ method: 'DELETE', path: `/leases/${id}` }, options)
}

/** A release that does not get through: the lease is renewed no more, and ends with its time. */
async function unlessItEndsByItself(release: Promise<void>): Promise<void> {
  try {
    await release
  } catch (error) {
    const isRefused = error instanceof ProblemError && (error.status < 500 || error.problem.retryable)
    const isUnserved = [ConnectionError, AmbiguousOutcomeError, ClosedError].some((kind) => error instanceof kind)
    if (!isRefused && !isUnserved) throw error
  }
}

interface LeasesPage {
  readonly leases: readonly LeaseSummary[]
  readonly cursor?: string
}

interface LeasePage extends LeaseStatus {
  readonly keys: readonly string[]
  readonly cursor?: string
}

/** The leases of a cluster. */
export class Leases {
  private readonly requests: Requests

  /** @internal */
  constructor(requests: Requests) {
    this.requests = requests
  }

  /**
   * A new lease that is kept alive. Under the caller's `idempotencyKey` it may be one that was granted before: rejects with `LeaseLostError` when
   * that has ended since.
   */
  async keep(options: LeaseOptions): Promise<Lease> {
    const sentAt = leaseNow()
    const lease = await this.grant(options)
    // The answer may be that of an earlier call.
    const grantedAt = options.idempotencyKey === undefined ? sentAt : null
    try {
      const keeper = await LeaseKeeper.of(lease, grantedAt, this.requests, options)
      return new KeptLease(keeper, this.requests, options.id !== undefined)
    } catch (error) {
      // It has been granted, whatever kept the renewal from telling that it is alive.
      const cause = error instanceof AmbiguousOutcomeError ? error.cause : error
      const isOpen = cause instanceof ConnectionError || cause instanceof ProblemError
      throw isOpen ? new AmbiguousOutcomeError(cause, options.idempotencyKey ?? null) : error
    }
  }

  /** A new lease that nobody keeps alive. */
  async grant({ ttlMs, id, ...options }: LeaseOptions): Promise<GrantedLease> {
    const json = id === undefined ? { ttlMs } : { ttlMs, id }
    return await this.requests.write<GrantedLease>({ method: 'POST', path: '/leases', json }, options)
  }

  /** Renews a lease once. Rejects with a `ProblemError` of code `lease-not-found` when it has ended. */
  async keepAlive(
    id: number,
    options: RequestOptions = {},
  ): Promise<{ readonly id: number; readonly remainingMs: number }> {
    const call = { method: 'POST', path: `/leases/${id}/keepalive`, isIdempotent: true, lane: 'urgent' } as const
    return await this.requests.read(call, options)
  }

  /** The lease, or null when there is none of this id. */
  async get(id: number, options: ReadOptions = {}): Promise<LeaseStatus | null> {
    try {
      const { keys: _keys, cursor: _cursor, ...status } = await this.page(id, { limit: '1' }, options)
      return status
    } catch (error) {
      if (error instanceof ProblemError && error.code === 'lease-not-found') return null
      throw error
    }
  }

  /** The keys that are attached to a lease, page by page. */
  async *keys(id: number, options: ReadOptions = {}): AsyncGenerator<string, void, undefined> {
    for (let cursor: string | undefined; ;) {
      const page = await this.page(id, { limit: String(limits.listItemsMax), cursor }, options)
      yield* page.keys
      if (page.cursor === undefined) return
      cursor = page.cursor
    }
  }

  /** All leases in the order of their ids, page by page. */
  async *list(options: ReadOptions = {}): AsyncGenerator<LeaseSummary, void, undefined> {
    for (let cursor: string | undefined; ;) {
      const query = { ...readQuery(options), limit: String(limits.listItemsMax), cursor }
      const page: LeasesPage = await this.requests.read<LeasesPage>({ method: 'GET', path: '/leases', query }, options)
      yield* page.leases
      if (page.cursor === undefined) return
      cursor = page.cursor
    }
  }

  private async page(id: number, query: Query, options: ReadOptions): Promise<LeasePage> {
    const call = { method: 'GET', path: `/leases/${id}`, query: { ...readQuery(options), ...query } } as const
    return await this.requests.read<LeasePage>(call, options)
  }

  /** Ends a lease and deletes the keys that are attached to it, in one change. */
  async revoke(id: number, options: WriteOptions = {}): Promise<void> {
    await revoked(id, this.requests, options)
  }
}
