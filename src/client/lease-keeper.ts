import { limits } from '../limits.ts'
import { LeaseLostError, ProblemError } from './errors.ts'
import type { RequestOptions } from './options.ts'
import type { Requests } from './requests.ts'
import { pauseMsAfter } from './retry-policy.ts'
import { wakingClock } from './waking-clock.ts'

interface KeepAliveAnswer {
  readonly id: number
  readonly remainingMs: number
}

/** The part of a client's requests that a keeper uses. */
type LeaseRequests = Pick<Requests, 'read' | 'whenClosed' | 'timeoutMs'>

/** The time of leases. */
export const leaseNow = wakingClock()

/** The least time that one attempt to renew a lease gets, where so much is left. */
const renewalMsMin = 1_000
/** How late a keeper notices at most that the machine has slept. */
export const lookMsMax = 1_000

/**
 * Keeps one lease alive, and knows until when it is certainly held: its time counts from before the request that was answered, so a
 * lease never ends on a server before it has ended here. It does not keep the process alive.
 */
export class LeaseKeeper {
  readonly id: number
  readonly ttlMs: number
  private readonly requests: LeaseRequests
  private readonly now: () => number
  private readonly lost = new AbortController()
  /** End the renewals that are under way. */
  private readonly attempts = new Set<AbortController>()
  private heldUntil: number
  private failures = 0
  private ended = false
  private gone = false
  private renewAt = Infinity
  private timer: NodeJS.Timeout | null = null
  private callOff: () => void = () => undefined

  /** `sentAt`: when the request was sent that gave the lease, by `now`. */
  constructor(
    lease: { readonly id: number; readonly ttlMs: number },
    sentAt: number,
    requests: LeaseRequests,
    now: () => number = leaseNow,
  ) {
    this.id = lease.id
    this.ttlMs = lease.ttlMs
    this.requests = requests
    this.now = now
    this.heldUntil = sentAt + lease.ttlMs
    this.schedule()
    this.callOff = requests.whenClosed((why) => this.lose(why.message, why))
    if (this.ended) this.callOff()
  }

  /**
   * The keeper of a lease that is alive. `sentAt`: when the request was sent that gave the lease, by `leaseNow`; null: it may have been given
   * before. When it is unknown how old the lease is, or a good part of its time has passed, only a renewal tells whether it is still alive.
   * Rejects with `LeaseLostError` when it is not, and with whatever else keeps it from being renewed.
   */
  static async of(
    lease: { readonly id: number; readonly ttlMs: number },
    sentAt: number | null,
    requests: Requests,
    options: RequestOptions,
  ): Promise<LeaseKeeper> {
    const now = leaseNow()
    if (sentAt !== null && now - sentAt < lease.ttlMs / 3) return new LeaseKeeper(lease, sentAt, requests)
    const keeper = new LeaseKeeper(lease, now, requests)
    try {
      const timeoutMs = Math.min(options.timeoutMs ?? requests.timeoutMs, lease.ttlMs)
      await keeper.renew({ signal: options.signal, timeoutMs })
      return keeper
    } catch (error) {
      keeper.stop()
      throw error
    }
  }

  get signal(): AbortSignal {
    return this.lost.signal
  }

  /** Whether the lease is certainly held. The clock is asked, in case that the process stood still. */
  get isHeld(): boolean {
    return !this.ended && this.leftMs > 0
  }

  /** For how much longer the lease is certainly there, unless it was ended; also once it is renewed no more. */
  get leftMs(): number {
    return this.heldUntil - this.now()
  }

  /** Whether the server has said that it has ended. */
  get isGone(): boolean {
    return this.gone
  }

  /** Renews it now. Rejects with `LeaseLostError` when it is gone; whatever else fails is tried again later. */
  async renew({ signal, timeoutMs: given }: RequestOptions = {}): Promise<void> {
    const sentAt = this.now()
    const leftMs = Math.max(1, this.heldUntil - sentAt)
    const timeoutMs = Math.min(leftMs, given ?? Math.max(renewalMsMin, leftMs / 2))
    const attempt = new AbortController()
    this.attempts.add(attempt)
    // A connection that has died unnoticed leaves time for another attempt. A single server would get some time more.
    const limit = given === undefined ? setTimeout(() => attempt.abort(), timeoutMs).unref() : null
    const call = { method: 'POST', path: `/leases/${this.id}/keepalive`, isIdempotent: true, lane: 'urgent' } as const
    try {
      const { remainingMs } = await this.requests.read<KeepAliveAnswer>(call, {
        timeoutMs,
        signal: signal === undefined ? attempt.signal : AbortSignal.any([signal, attempt.signal]),
      })
      this.failures = 0
      this.heldUntil = Math.max(this.heldUntil, sentAt + remainingMs)
    } catch (error) {
      if (error instanceof ProblemError && error.code === 'lease-not-found') {
        this.gone = true
        this.lose(error.message, error)
      }
      this.signal.throwIfAborted()
      this.failures += 1
      throw error
    } finally {
      this.attempts.delete(attempt)
      if (limit !== null) clearTimeout(limit)
      if (!this.ended) this.schedule()
    }
  }

  /** From now on nothing is renewed, and the signal stays as it is. */
  stop(): void {
    this.ended = true
    for (const attempt of this.attempts) attempt.abort()
    this.callOff()
    if (this.timer !== null) clearTimeout(this.timer)
  }

  /** The next renewal once a third of the time has passed, a little earlier by chance, so that many leases do not come together. */
  private schedule(): void {
    const now = this.now()
    const early = this.ttlMs * (2 / 3 + Math.random() / 12)
    const until = Math.max(limits.clientPauseMsMin, this.heldUntil - now - early)
    this.renewAt = now + (this.failures === 0 ? until : pauseMsAfter(this.failures - 1))
    this.arm(now)
  }

  /** Timers stand still while the machine sleeps, so the clock is looked at again before anything is due. */
  private arm(now: number): void {
    if (this.timer !== null) clearTimeout(this.timer)
    const dueMs = Math.max(0, Math.min(this.renewAt, this.heldUntil) - now)
    this.timer = setTimeout(() => this.onTime(), Math.min(dueMs, lookMsMax)).unref()
  }

  private onTime(): void {
    const now = this.now()
    if (now >= this.heldUntil) return this.lose(`it could not be renewed in its ${this.ttlMs} ms`, null)
    if (now >= this.renewAt) {
      this.renewAt = Infinity
      void this.renew().catch(() => undefined)
    }
    this.arm(now)
  }

  private lose(why: string, cause: unknown): void {
    if (this.ended) return
    this.stop()
    this.lost.abort(new LeaseLostError(this.id, why, cause === null ? {} : { cause }))
  }
}
