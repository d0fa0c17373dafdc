import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Raft, RaftView } from '../../raft/index.ts'

/** Whether what a request waits for is true. Looks at the given view rather than asking for one: it is called often, after every change. */
export type Condition = (view: RaftView) => boolean

interface Waiting {
  readonly holds: Condition
  readonly settle: (held: boolean) => void
}

/**
 * Requests about the cluster that wait for something about the node to become true. Each is checked after every change, and all of them
 * share one view of the core. So code that lets clients in first asks whether there is room (`isFull`).
 */
export class Conditions {
  private readonly clock: Clock
  private readonly raft: Pick<Raft, 'view'>
  private readonly waiting = new Set<Waiting>()
  private closed = false

  constructor(clock: Clock, raft: Pick<Raft, 'view'>) {
    this.clock = clock
    this.raft = raft
  }

  get isFull(): boolean {
    return this.waiting.size >= limits.conditionsMax
  }

  /** Resolves with true once `holds` does, with false when `timeoutMs` have passed or the node stops. */
  until(holds: Condition, timeoutMs: number): Promise<boolean> {
    if (holds(this.raft.view())) return Promise.resolve(true)
    if (this.closed) return Promise.resolve(false)
    return new Promise((resolve) => {
      const cancel = this.clock.after(Math.max(0, timeoutMs), () => waiting.settle(holds(this.raft.view())))
      const waiting: Waiting = {
        holds,
        settle: (held) => {
          cancel()
          this.waiting.delete(waiting)
          resolve(held)
        },
      }
      this.waiting.add(waiting)
    })
  }

  /** To be called after anything that a condition may look at has changed. */
  changed(): void {
    if (this.waiting.size === 0) return
    const view = this.raft.view()
    for (const waiting of this.waiting) if (waiting.holds(view)) waiting.settle(true)
  }

  /** The node stops: nothing that is waited for will come any more. */
  giveUp(): void {
    this.closed = true
    for (const waiting of this.waiting) waiting.settle(false)
  }
}
