import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Watcher } from './watcher.ts'

/**
 * Wakes watchers that have something to take, a bounded number in each turn of the event loop: a change that ten thousand want must not
 * keep heartbeats waiting.
 */
export class WakeUps {
  private readonly clock: Clock
  private readonly due = new Set<Watcher>()
  private isPlanned = false

  constructor(clock: Clock) {
    this.clock = clock
  }

  add(watcher: Watcher): void {
    if (!watcher.isWaiting) return
    this.due.add(watcher)
    if (this.isPlanned) return
    this.isPlanned = true
    this.clock.nextTurn(() => this.turn())
  }

  private turn(): void {
    let woken = 0
    for (const watcher of this.due) {
      if (woken === limits.watchStepMax) break
      this.due.delete(watcher)
      watcher.wake()
      woken += 1
    }
    this.isPlanned = this.due.size > 0
    if (this.isPlanned) this.clock.nextTurn(() => this.turn())
  }
}
