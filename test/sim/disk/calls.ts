import { StorageError } from '../../../src/lib/errors.ts'
import type { SimProcess } from '../world/process.ts'
import type { World } from '../world/world.ts'
import type { DiskWeather } from './faults.ts'

const STUCK_POLL_MS = 5

/** The demand of a call on the disk: reading, writing to allocated space, or writing that needs new space. */
export type DiskUse = 'read' | 'overwrite' | 'grow'

/**
 * The calls of one store. Each takes time, and none ends after its process has ended. After the first error or the close the
 * others fail.
 */
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

  /** The reason why calls are refused; null while they are accepted. */
  get refused(): Error | null {
    return this.refusal
  }

  /** The store cannot be used from now on. */
  poison(message: string): Error {
    this.refusal ??= new StorageError('failed', message)
    return this.refusal
  }

  /**
   * Fails as the disk does at present; after that the store cannot be used. `action` names the call in the error. A single
   * error is counted as `oneTime`.
   */
  useDisk(use: DiskUse, action: string, oneTime: 'disk-write-error' | 'disk-state-error'): void {
    const { weather, process, world } = this
    if (weather.broken) {
      world.census.count('disk-write-error-sticky')
      throw this.poison(`${action} failed: EIO`)
    }
    if (weather.full && use === 'grow') {
      world.census.count('disk-full')
      throw this.poison(`${action} failed: ENOSPC`)
    }
    const probability = use === 'read' ? weather.readErrorProbability : weather.writeErrorProbability
    if (probability === 0 || !process.random.chance(probability)) return
    world.census.count(use === 'read' ? 'disk-read-error' : oneTime)
    throw this.poison(`${action} failed: EIO`)
  }

  /** Ends after `delayMs` with the result or the error of `run`; never, when the process ends first. */
  run<T>(delayMs: number, run: () => T): Promise<T> {
    if (this.refusal !== null) return Promise.reject(this.refusal)
    return this.start(delayMs, run)
  }

  /** Refuses further calls. Ends when the running calls have ended. */
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
        // A stuck disk is polled, so that it can recover at any time.
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
