import { StorageError } from '../../../src/lib/errors.ts'
import type { SimProcess } from '../process.ts'
import type { World } from '../world.ts'
import type { DiskWeather } from './faults.ts'

const STUCK_POLL_MS = 5

/** The calls of one store: each takes time, none ends after the process has; the first error or the close makes the rest fail. */
export class Calls {
  private readonly process: SimProcess
  private readonly world: World
  private readonly weather: DiskWeather
  private refusal: Error | null = null
  private running = 0
  private closing: Promise<void> | null = null

  constructor(process: SimProcess, world: World, weather: DiskWeather) {
    this.process = process
    this.world = world
    this.weather = weather
  }

  /** Why no call is taken any more; null while they are. */
  get refused(): Error | null {
    return this.refusal
  }

  /** The store is of no use from now on. */
  poison(message: string): Error {
    this.refusal ??= new StorageError('failed', message)
    return this.refusal
  }

  /** Ends after `delayMs` with what `run` gives or throws; never, when the process ends first. */
  run<T>(delayMs: number, run: () => T): Promise<T> {
    if (this.refusal !== null) return Promise.reject(this.refusal)
    return this.start(delayMs, run)
  }

  /** Takes no calls any more; ends when those that run have ended. */
  close(last: () => void): Promise<void> {
    if (this.closing !== null) return this.closing
    this.refusal ??= new StorageError('failed', 'the store is closed')
    this.closing = new Promise((resolve) => {
      const end = (): void => {
        if (this.running > 0) return this.process.later(0.1, end)
        last()
        resolve()
      }
      this.process.later(0.1, end)
    })
    return this.closing
  }

  private start<T>(delayMs: number, run: () => T): Promise<T> {
    this.running += 1
    return new Promise((resolve, reject) => {
      const end = (): void => {
        // A stuck disk is asked again and again, so that it can come loose at any time.
        if (this.world.now() < this.weather.stuckUntil) return this.process.later(STUCK_POLL_MS, end)
        this.running -= 1
        try {
          resolve(run())
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      }
      this.process.later(delayMs, end)
    })
  }
}
