import { StorageError } from '../../../src/lib/errors.ts'
import type { LogContents, LogStore, LogWrite } from '../../../src/ports/log-store.ts'
import type { LogBatch, LogId, LogIndex } from '../../../src/raft/index.ts'
import { logIndex } from '../../../src/raft/index.ts'
import type { SimProcess } from '../world/process.ts'
import { Violation } from '../world/violation.ts'
import type { World } from '../world/world.ts'
import { Calls } from './calls.ts'
import type { DiskWeather } from './faults.ts'
import type { LogDisk } from './log-disk.ts'
import { clip, type LogImage } from './log-image.ts'

/** Moments of a write at which a crash can be ordered. */
export type WriteMoment = 'begin' | 'end'

export interface LogStoreDependencies {
  readonly world: World
  readonly process: SimProcess
  readonly disk: LogDisk
  readonly weather: DiskWeather
  /** A write is about to begin, or has just become durable but is not acknowledged yet. May end the process. */
  readonly onWrite: (moment: WriteMoment) => void
  /** `write` was submitted. Before it, the log as the process sees it ended with `last`. */
  readonly onSubmit: (write: LogWrite, last: LogId | null) => void
  /** `write` is on the platter. */
  readonly onDurable: (write: LogWrite) => void
  /** Probability that a batch is cached; otherwise `readCached` finds nothing. */
  readonly cachedProbability: number
}

/**
 * Probability that a write of records finds the current file full and needs the next one. Files are fully allocated before
 * their first record, and a vote is written over the previous one.
 */
const NEXT_FILE_PROBABILITY = 0.3

interface InFlight {
  readonly writes: readonly LogWrite[]
  /** How many of its parts have reached the platter. */
  done: number
}

/**
 * A log whose writes take time. A crash during a write keeps any number of its leading parts, and perhaps some entries of the
 * next part. Acknowledged writes survive.
 */
export class SimLogStore implements LogStore {
  private readonly deps: LogStoreDependencies
  /** Includes everything passed to `write`, durable or not. */
  private view: LogImage
  private inFlight: InFlight | null = null
  private opened = false
  private readonly calls: Calls

  constructor(dependencies: LogStoreDependencies) {
    this.deps = dependencies
    this.view = dependencies.disk.durable.copy()
    this.calls = new Calls(dependencies.process, dependencies.world, dependencies.weather)
    dependencies.process.whenEnded(() => this.crash())
  }

  /** The log as the process sees it. */
  get image(): LogImage {
    return this.view
  }

  open(): Promise<LogContents> {
    const { disk } = this.deps
    return this.calls.run(this.readTime(), () => {
      if (this.opened) this.deps.world.fail(new Violation('port-contract', 'the log is opened once'))
      this.opened = true
      // Opening the log repairs only existing files.
      this.calls.useDisk('read', 'opening the log', 'disk-write-error')
      if (disk.voteUnreadable) throw new StorageError('refused', 'both copies of the vote are damaged')
      this.view = disk.durable.copy()
      return this.contents()
    })
  }

  write(writes: readonly LogWrite[]): Promise<void> {
    const { world, process, disk } = this.deps
    if (this.calls.refused !== null) return Promise.reject(this.calls.refused)
    if (!process.alive) return forever()
    if (!this.opened || this.inFlight !== null) {
      world.fail(new Violation('port-contract', 'a write of the log begins only after the one before has resolved'))
      return forever()
    }
    try {
      this.submit(writes)
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)))
    }
    const flight: InFlight = { writes, done: 0 }
    this.inFlight = flight
    this.deps.onWrite('begin')
    return this.calls.run(this.writeTime(), () => {
      this.useDisk(flight)
      while (flight.done < writes.length) this.reachPlatter(flight)
      this.deps.onWrite('end')
      if (!process.alive) return
      this.inFlight = null
      disk.wrote()
    })
  }

  read(first: LogIndex, last: LogIndex, bytesMax: number): Promise<readonly LogBatch[] | null> {
    return this.calls.run(this.readTime(), () => {
      this.calls.useDisk('read', 'reading the log', 'disk-write-error')
      return this.view.read(first, last, bytesMax)
    })
  }

  readCached(first: LogIndex, last: LogIndex, bytesMax: number): readonly LogBatch[] | null {
    const { process, cachedProbability } = this.deps
    if (this.calls.refused !== null || !process.alive) return null
    return process.random.chance(cachedProbability) ? this.view.read(first, last, bytesMax) : null
  }

  sizeBytes(): number {
    return this.view.sizeBytes
  }

  close(): Promise<void> {
    return this.calls.close(() => undefined)
  }

  private submit(writes: readonly LogWrite[]): void {
    for (const write of writes) {
      this.deps.onSubmit(write, this.view.last)
      this.view.apply(write)
    }
  }

  private contents(): LogContents {
    const { disk } = this.deps
    const image = this.view
    return {
      hardState: image.hardState,
      purged: image.purged,
      last: image.last,
      runs: image.runs(),
      sizes: image.batches.map((batch) => ({ last: batch.last, bytes: batch.body.length })),
      membershipBatches: image.batches.filter((batch) => batch.membershipCount > 0),
      lostUpTo: disk.lostUpTo,
      findings: disk.findings.splice(0),
    }
  }

  private reachPlatter(flight: InFlight): void {
    const write = flight.writes[flight.done]
    if (write === undefined) return
    flight.done += 1
    this.deps.disk.durable.apply(write)
    this.deps.onDurable(write)
  }

  /** The process ends: a part of the write in progress may have arrived. */
  private crash(): void {
    const flight = this.inFlight
    if (flight === null) return
    this.inFlight = null
    this.keepPart(flight, flight.done)
  }

  private keepPart(flight: InFlight, from: number): void {
    const { process, world } = this.deps
    const kept = process.random.integer(from, flight.writes.length + 1)
    while (flight.done < kept) this.reachPlatter(flight)
    const next = flight.writes[flight.done]
    if (next === undefined) return
    world.census.count('disk-torn-write')
    if (next.type !== 'append' || next.batch.first === next.batch.last || process.random.chance(0.7)) return
    const last = logIndex(process.random.integer(next.batch.first, next.batch.last))
    this.deps.disk.durable.apply({ type: 'append', batch: clip(next.batch, next.batch.first, last) })
  }

  /** A failed write may have arrived in part. */
  private useDisk(flight: InFlight): void {
    const hasRecords = flight.writes.some(({ type }) => type !== 'hard-state')
    const use = hasRecords && this.deps.process.random.chance(NEXT_FILE_PROBABILITY) ? 'grow' : 'overwrite'
    try {
      this.calls.useDisk(use, 'writing the log', 'disk-write-error')
    } catch (error) {
      this.inFlight = null
      this.keepPart(flight, 0)
      throw error
    }
  }

  private writeTime(): number {
    const { weather, process, world } = this.deps
    let time = 0.02 + process.random.exponential(weather.writeMs)
    if (weather.slowProbability > 0 && process.random.chance(weather.slowProbability)) {
      time += process.random.exponential(weather.slowMs)
      world.census.count('disk-slow')
    }
    return time
  }

  private readTime(): number {
    const { weather, process } = this.deps
    return 0.01 + process.random.exponential(weather.readMs)
  }
}

/** A promise of a dead process: it never settles. */
function forever(): Promise<never> {
  return new Promise(() => undefined)
}
