import { toError } from '../../lib/to-error.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { DiskUsage, Logger } from '../options.ts'
import type { Room } from '../requests/disk-report.ts'
import { reserveFor, roomOf } from './room.ts'

export interface DiskSpaceOptions {
  /** 0: there is no reserve. Null: it follows from the other sizes. */
  readonly diskReserveBytes: number | null
  readonly segmentBytes: number
}

export interface DiskSpaceDependencies {
  readonly clock: Clock
  readonly logger: Logger
  readonly state: { sizeBytes(): number }
  /** Measures the file system of the data directory. */
  readonly measure: () => Promise<DiskUsage>
  /** Told after each measurement. */
  readonly onMeasured: () => void
}

/** The disk of a node, as it was last measured. */
export interface DiskState extends DiskUsage {
  readonly reserveBytes: number
  readonly room: Room
}

/** How many times its reserve a disk must have free to be looked at less often. */
const FAR_FACTOR = 4

/** Measures the disk of this node again and again: one measurement at a time, and more often when little is free. */
export class DiskSpace {
  private readonly options: DiskSpaceOptions
  private readonly deps: DiskSpaceDependencies
  private last: DiskState | null = null
  private isMeasuring = false
  private isFailing = false
  private stopped = false
  private cancel: () => void = () => undefined

  constructor(options: DiskSpaceOptions, dependencies: DiskSpaceDependencies) {
    this.options = options
    this.deps = dependencies
  }

  /** Null until the first measurement has ended. */
  get state(): DiskState | null {
    return this.last
  }

  /** Measures now, and again after a while. A measurement that hangs is waited for: what was measured before it still counts. */
  start(): void {
    if (this.isMeasuring || this.stopped) return
    this.cancel()
    this.isMeasuring = true
    void this.measure().then(() => {
      this.isMeasuring = false
      if (this.stopped) return
      this.cancel = this.deps.clock.after(this.intervalMs(), () => this.start())
      this.deps.onMeasured()
    })
  }

  stop(): void {
    this.stopped = true
    this.cancel()
  }

  private async measure(): Promise<void> {
    const { measure, logger } = this.deps
    try {
      this.take(await measure())
      this.isFailing = false
    } catch (error) {
      // A disk that does not tell is taken for as full as it last was.
      if (!this.isFailing) logger.warn({ error: toError(error).message }, 'free space of the disk is not known')
      this.isFailing = true
    }
  }

  private take(usage: DiskUsage): void {
    const { diskReserveBytes, segmentBytes } = this.options
    const stateBytes = this.deps.state.sizeBytes()
    const reserveBytes = diskReserveBytes ?? reserveFor({ ...usage, segmentBytes, stateBytes })
    this.last = { ...usage, reserveBytes, room: roomOf(usage.freeBytes, reserveBytes, this.last?.room ?? 'ample') }
  }

  private intervalMs(): number {
    const { farMs, nearMs } = limits.diskReserve
    const { last } = this
    return last === null || last.freeBytes >= last.reserveBytes * FAR_FACTOR ? farMs : nearMs
  }
}
