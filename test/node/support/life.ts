import type { Clock } from '../../../src/ports/clock.ts'

/** The process that a client talked to has ended: nobody will answer. */
export class ProcessEndedError extends Error {
  override readonly name = 'ProcessEndedError'
}

/** One life of a process: its clock, and what it waits for, end with it. */
export class Life {
  readonly clock: Clock
  private ended = false
  /** What has happened to the process since it was stopped; null while it runs. */
  private held: (() => void)[] | null = null
  private readonly listeners = new Set<() => void>()
  private readonly world: Clock

  constructor(world: Clock) {
    this.world = world
    const run = (callback: () => void) => (): void => this.deliver(callback)
    this.clock = {
      now: () => world.now(),
      wall: () => world.wall(),
      after: (delayMs, callback) => world.after(delayMs, run(callback)),
      nextTurn: (callback) => world.nextTurn(run(callback)),
    }
  }

  get alive(): boolean {
    return !this.ended
  }

  /** As on SIGSTOP: whatever happens to the process waits until `resume`. Its clocks go on. */
  pause(): void {
    this.held ??= []
  }

  /** As on SIGCONT. */
  resume(): void {
    const held = this.held ?? []
    this.held = null
    for (const callback of held) this.world.nextTurn(() => this.deliver(callback))
  }

  /** Runs `callback` in the process: at once, when the process goes on, or never because it has ended. */
  deliver(callback: () => void): void {
    if (this.ended) return
    if (this.held !== null) this.held.push(callback)
    else callback()
  }

  end(): void {
    if (this.ended) return
    this.ended = true
    for (const listener of this.listeners) listener()
  }

  /** Resolves like `promise`; rejects with `ProcessEndedError` when the process ends first. */
  guard<T>(promise: Promise<T>): Promise<T> {
    if (this.ended) {
      promise.catch(() => undefined)
      return Promise.reject(new ProcessEndedError('the process has ended'))
    }
    return new Promise((resolve, reject) => {
      const onEnded = (): void => reject(new ProcessEndedError('the process has ended'))
      this.listeners.add(onEnded)
      const over = (): void => void this.listeners.delete(onEnded)
      promise.then(
        (value) => {
          over()
          resolve(value)
        },
        (error: unknown) => {
          over()
          reject(error instanceof Error ? error : new Error(String(error)))
        },
      )
    })
  }

  /** A call of a device: `run` after `delayMs`, or never when the process ends before. */
  later<T>(delayMs: number, run: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const go = (): void => this.deliver(() => void Promise.resolve().then(run).then(resolve, reject))
      if (delayMs === 0) this.world.nextTurn(go)
      else if (delayMs !== Infinity) this.world.after(delayMs, go)
    })
  }
}
