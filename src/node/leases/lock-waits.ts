import type { Caller } from '../../api/services.ts'
import type { LeaseEvent, RowKey } from '../../kv/index.ts'
import { decodeLease, leaseRow } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Faults, NodeOptions } from '../options.ts'
import { Sweep } from '../requests/sweep.ts'

export type LockWaitsOptions = Pick<NodeOptions, 'lockWaitsMax'>

export interface LockWaitsDependencies {
  readonly clock: Clock
  readonly rows: {
    peek(row: RowKey): Uint8Array | null | undefined
    fetch(rows: readonly RowKey[]): Promise<readonly (Uint8Array | null)[]>
  }
  readonly faults: Faults
}

/** How a wait for a lock ends. `gone`: nobody waits for the answer any more. */
export type LockWaitOutcome =
  | { readonly kind: 'acquired'; readonly token: number }
  | { readonly kind: 'ended' }
  | { readonly kind: 'timed-out' }
  | { readonly kind: 'gone' }

interface Waiting {
  readonly lease: number
  readonly deadline: number
  readonly caller: Caller | null
  readonly resolve: (outcome: LockWaitOutcome) => void
  readonly reject: (error: Error) => void
}

const SWEEP_MS = 50

/** Requests on this node that wait until their lease has received a lock. Each is answered when this node applies the entry that gives it. */
export class LockWaits {
  /** Requests that may be here at once. */
  private readonly waitsMax: number
  private readonly deps: LockWaitsDependencies
  /** By lease. A request and its retry may wait for the same one. */
  private readonly waiting = new Map<number, Set<Waiting>>()
  /** Requests that may come to wait, from before they are proposed until they are answered. */
  private entered = 0
  private readonly sweep: Sweep
  private closed: RequestError | null = null

  constructor(options: LockWaitsOptions, deps: LockWaitsDependencies) {
    this.waitsMax = options.lockWaitsMax ?? limits.lock.waitsMax
    this.deps = deps
    this.sweep = new Sweep(deps.clock, SWEEP_MS, () => this.sweepOnce())
  }

  /**
   * Takes a place for a request that may come to wait, before it is proposed: what is in the queue of a lock is never refused. Returns how to
   * leave, once. Throws `RequestError` when no place is free.
   */
  enter(): () => void {
    if (this.closed !== null) throw this.closed
    const { waitsMax } = this
    if (this.entered >= waitsMax) {
      throw new RequestError(
        'overloaded',
        `${waitsMax} requests for locks wait on this node, as many as may at once; nothing was proposed: ` +
          'ask another node, try again later, or leave out waitMs',
      )
    }
    this.entered += 1
    return () => void (this.entered -= 1)
  }

  /** `lease` waits for a lock, by an entry that is applied here; it may have received it since. Rejects once the node stops. */
  wait(lease: number, deadline: number, caller: Caller | null): Promise<LockWaitOutcome> {
    if (this.closed !== null) return Promise.reject(this.closed)
    return new Promise((resolve, reject) => {
      const waiting = { lease, deadline, caller, resolve, reject }
      const known = this.waiting.get(lease)
      if (known === undefined) this.waiting.set(lease, new Set([waiting]))
      else known.add(waiting)
      this.sweep.begin()
      // Nothing that happens from here on escapes; this finds what has happened before.
      this.look(lease)
    })
  }

  onEvents(events: readonly LeaseEvent[]): void {
    if (this.waiting.size === 0) return
    for (const event of events) {
      if (event.type === 'lock-acquired') this.settle(event.lease, { kind: 'acquired', token: event.token })
      else if (event.type === 'ended') this.settle(event.lease, { kind: 'ended' })
    }
  }

  /** Another state has taken the place of the one in which the leases waited. */
  onInstalled(): void {
    for (const lease of this.waiting.keys()) this.look(lease)
  }

  /** Answers all requests, and every later one, with `error`. */
  close(error: RequestError): void {
    this.closed = error
    this.sweep.stop()
    for (const some of this.waiting.values()) for (const { reject } of some) reject(error)
    this.waiting.clear()
  }

  private look(lease: number): void {
    const row = leaseRow(lease)
    const known = this.deps.rows.peek(row)
    if (known !== undefined) return this.judge(lease, known)
    this.deps.rows
      .fetch([row])
      .then(([bytes = null]) => this.judge(lease, bytes))
      .catch((error: unknown) => {
        if (this.closed === null) this.deps.faults.report(error)
      })
  }

  private judge(lease: number, bytes: Uint8Array | null): void {
    if (bytes === null) return this.settle(lease, { kind: 'ended' })
    const { use, isEnding } = decodeLease(bytes)
    if (isEnding) this.settle(lease, { kind: 'ended' })
    else if (use.type === 'holder') this.settle(lease, { kind: 'acquired', token: use.token })
  }

  private settle(lease: number, outcome: LockWaitOutcome): void {
    for (const waiting of this.waiting.get(lease) ?? []) this.answer(waiting, outcome)
  }

  private answer(waiting: Waiting, outcome: LockWaitOutcome): void {
    const some = this.waiting.get(waiting.lease)
    if (some?.delete(waiting) !== true) return
    if (some.size === 0) this.waiting.delete(waiting.lease)
    waiting.resolve(outcome)
  }

  /** Returns whether any request still waits. */
  private sweepOnce(): boolean {
    const now = this.deps.clock.now()
    for (const some of this.waiting.values()) {
      for (const waiting of some) {
        if (waiting.caller?.isGone === true) this.answer(waiting, { kind: 'gone' })
        else if (waiting.deadline <= now) this.answer(waiting, { kind: 'timed-out' })
      }
    }
    return this.waiting.size > 0
  }
}
