import { setTimeout as delay } from 'node:timers/promises'
import type { Load, OpenLoad, OpenResult } from '../load.ts'
import { Latencies } from '../statistics.ts'
import { Connection, type ConnectionListener } from './connection.ts'
import { Queue } from './queue.ts'
import { Requests } from './requests.ts'
import { Schedule } from './schedule.ts'
import { Tally } from './tally.ts'

/** Requests that are due and wait for a connection. Later ones are not sent at all. */
const BACKLOG_MAX = 200_000
const TICK_MS = 1
const CONNECT_MS_MAX = 10_000
/** How long the last answers are waited for. */
const DRAIN_MS_MAX = 10_000

/** What a generator reports, without its CPU time, which its parent reads. */
export type Report = Omit<OpenResult, 'generatorCpuUs'>

/**
 * Sends requests over a fixed number of connections: by a schedule (`phases`), or each time an answer arrives (`seconds`). A connection
 * that can take a request is in `free`, once for each request that it can take.
 */
export class Generator implements ConnectionListener {
  private readonly schedule: Schedule | null
  private readonly durationMs: number
  private readonly depth: number
  private readonly requests: Requests
  private readonly connections: Connection[]
  private readonly tally = new Tally()
  private readonly late = new Latencies()
  private readonly free = new Queue<Connection>()
  /** When each waiting request was due. */
  private readonly backlog = new Queue<number>()
  private due = 0
  private unsent = 0
  private startedAt: number | null = null
  private stopped = false

  constructor(load: Load | OpenLoad) {
    this.schedule = 'phases' in load ? new Schedule(load.phases) : null
    this.durationMs = 'phases' in load ? (this.schedule?.durationMs ?? 0) : load.seconds * 1000
    this.depth = 'phases' in load ? (load.depth ?? 1) : 1
    this.requests = new Requests(load)
    this.connections = Array.from({ length: load.connections }, (_, n) => {
      return new Connection(load.targets[n % load.targets.length] ?? '', this)
    })
  }

  async run(): Promise<Report> {
    const until = performance.now() + CONNECT_MS_MAX
    while (this.free.size < this.connections.length * this.depth) {
      if (performance.now() > until)
        throw new Error(`not ${this.connections.length} connections in ${CONNECT_MS_MAX} ms`)
      await delay(TICK_MS)
    }
    this.startedAt = performance.now()
    if (this.schedule === null) while (this.free.size > 0) this.sendNext(0)
    while (!this.stopped && this.now() < this.durationMs) {
      if (this.schedule !== null) this.sendDue(this.schedule)
      await delay(TICK_MS)
    }
    // The last tick may come late, after requests that were due within the time.
    if (this.schedule !== null && !this.stopped) this.sendDue(this.schedule)
    return this.end()
  }

  /** Ends the load before its time. */
  stop(): void {
    this.stopped = true
  }

  onOpen(connection: Connection): void {
    for (let n = 0; n < this.depth; n++) this.release(connection)
  }

  onAnswer(connection: Connection, status: number, startedMs: number): void {
    const now = this.now()
    this.tally.answer(status, now, now - startedMs)
    this.release(connection)
  }

  onLost(connection: Connection, count: number): void {
    this.tally.lost(count, this.now())
    this.free.remove(connection)
  }

  private now(): number {
    return performance.now() - (this.startedAt ?? performance.now())
  }

  private get isOver(): boolean {
    return this.stopped || this.startedAt === null || this.now() >= this.durationMs
  }

  private release(connection: Connection): void {
    this.free.add(connection)
    if (this.isOver) return
    if (this.schedule === null) return this.sendNext(this.now())
    const oldest = this.backlog.take()
    if (oldest !== null) this.sendNext(oldest)
  }

  private sendNext(startedMs: number): void {
    this.free.take()?.send(this.requests.next(), startedMs)
  }

  private sendDue(schedule: Schedule): void {
    const now = this.now()
    for (const due = schedule.dueBy(now); this.due < due; this.due += 1) {
      const dueMs = schedule.dueMs(this.due)
      if (this.free.size > 0) {
        this.late.record(now - dueMs)
        this.sendNext(dueMs)
      } else if (this.backlog.size < BACKLOG_MAX) this.backlog.add(dueMs)
      else this.unsent += 1
    }
  }

  private async end(): Promise<Report> {
    const tookMs = this.now()
    const answered = this.tally.ok
    this.tally.reach(tookMs)
    const seconds = [...this.tally.seconds]
    const until = performance.now() + DRAIN_MS_MAX
    const inFlight = (): number => this.connections.reduce((sum, connection) => sum + connection.inFlight, 0)
    while (inFlight() > 0 && performance.now() < until) await delay(TICK_MS)
    const lost = inFlight()
    if (lost > 0) this.tally.lost(lost, this.now())
    for (const connection of this.connections) connection.close()
    const { ok, refused, failed } = this.tally
    return {
      requestsPerSecond: (answered * 1000) / tookMs,
      requests: ok + refused + failed,
      ...this.tally.quantiles(),
      errors: refused + failed,
      distribution: this.tally.distribution(),
      refused,
      refusedP99: this.tally.refusedP99(),
      failed,
      unsent: this.unsent + this.backlog.size,
      lateP99: this.late.quantiles().p99,
      seconds,
    }
  }
}
