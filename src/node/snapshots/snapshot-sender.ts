import { limits } from '../../limits.ts'
import { toError } from '../../lib/to-error.ts'
import type { Clock } from '../../ports/clock.ts'
import type { StateStore, StateView } from '../../ports/state-store.ts'
import type { SnapshotSink, Transport } from '../../ports/transport.ts'
import type { LogId, LogIndex, NodeId, Raft, SnapshotPlan, SnapshotReport, Vote } from '../../raft/index.ts'
import { indexOf } from '../../raft/index.ts'
import type { Faults, Logger, NodeOptions } from '../options.ts'
import { Pacer } from './pacer.ts'
import { decodeStateMeta } from '../codec/state-meta.ts'
import { STATE_STREAM_FORMAT, stateChunks } from './state-stream.ts'
import { SnapshotProgress } from './progress.ts'

/** The rate is for all receivers together. */
export type SnapshotSenderOptions = Pick<NodeOptions, 'snapshotChunkBytes' | 'snapshotBytesPerSecondMax'>

export interface SnapshotSenderDependencies {
  readonly state: StateStore
  readonly transport: Transport
  readonly clock: Clock
  readonly logger: Logger
  readonly leaders: { leadsUnder(vote: Vote): boolean }
  /** Settled when the store holds everything that is applied. Nothing older may be sent: the log after it may be gone. */
  readonly applier: { settle(): Promise<unknown> }
  readonly raft: Pick<Raft, 'view'>
  readonly core: { onSnapshotReport(to: NodeId, session: number, report: SnapshotReport): void }
  readonly faults: Faults
}

/** After a chunk the sender rests for this many times the time that reading it took, so that a busy node sends slowly. */
const REST_FACTOR = 3
/** The same factor while entries are written: clients and the followers' appends need the thread more. */
const REST_FACTOR_WRITING = 6
/** The estimate is updated whenever this many more bytes are sent. */
const ESTIMATE_EVERY_BYTES = 1024 * 1024

/**
 * Streams the state to followers that are too far behind for the log (raft.md 8). One chunk of each transfer is in memory at a time. All
 * transfers together stay below one rate. Each transfer takes less than a quarter of the thread's time, and less than a seventh while
 * entries are written.
 */
export class SnapshotSender {
  sent = 0
  private readonly options: SnapshotSenderOptions
  private readonly deps: SnapshotSenderDependencies
  private readonly pacer: Pacer
  /** Transfers in progress or ended; the one that changed last is last. */
  private readonly transfers = new Map<NodeId, SnapshotProgress>()
  private stopped = false

  constructor(options: SnapshotSenderOptions, deps: SnapshotSenderDependencies) {
    this.options = options
    this.deps = deps
    const { snapshotBytesPerSecondMax: bytesPerSecondMax } = options
    this.pacer = new Pacer({ bytesPerSecondMax, pauseMsMax: limits.snapshotPauseMsMax }, deps.clock)
  }

  /** The last transfer to a node in this session of this leadership. */
  transferTo(to: NodeId, session: number): SnapshotProgress | null {
    const progress = this.transfers.get(to)
    if (progress === undefined || progress.plan.session !== session) return null
    return this.deps.leaders.leadsUnder(progress.plan.vote) ? progress : null
  }

  start(plan: SnapshotPlan): void {
    const { to, session } = plan
    const { clock, state, logger } = this.deps
    const before = this.transfers.get(to)
    if (before?.isUnderWay === true || this.underWay >= limits.snapshotsSentAtOnceMax || this.stopped) {
      // Reported in a turn of its own, because the core is in the middle of a step now.
      clock.nextTurn(() => this.deps.core.onSnapshotReport(to, session, 'failed'))
      return
    }
    const progress = new SnapshotProgress(plan, state.sizeBytes(), clock.now(), this.transferTo(to, session))
    this.remember(progress)
    const delivered = (logId: LogId): void => {
      this.sent += 1
      logger.info({ to, index: logId.index, bytes: progress.bytes }, 'snapshot delivered')
      progress.delivered({ at: clock.now(), index: logId.index, last: this.lastIndex() })
      this.report(progress, 'installed')
    }
    const failed = (error: unknown): void => {
      const detail = toError(error).message
      logger.warn({ to, error: detail }, 'snapshot not delivered')
      progress.failed(detail)
      this.report(progress, 'failed')
    }
    this.stream(progress)
      .then(delivered, failed)
      .catch((error: unknown) => this.deps.faults.report(error))
  }

  stop(): void {
    this.stopped = true
  }

  /** The last entry of this node's log. */
  private lastIndex(): LogIndex {
    return indexOf(this.deps.raft.view().last)
  }

  private get underWay(): number {
    let count = 0
    for (const { isUnderWay } of this.transfers.values()) if (isUnderWay) count += 1
    return count
  }

  private remember(progress: SnapshotProgress): void {
    this.transfers.delete(progress.plan.to)
    for (const [id, { isUnderWay }] of this.transfers) {
      if (this.transfers.size < limits.membersMax) break
      if (!isUnderWay) this.transfers.delete(id)
    }
    this.transfers.set(progress.plan.to, progress)
  }

  private report({ plan }: SnapshotProgress, report: SnapshotReport): void {
    if (!this.stopped) this.deps.core.onSnapshotReport(plan.to, plan.session, report)
  }

  private async stream(progress: SnapshotProgress): Promise<LogId> {
    const { plan } = progress
    await this.deps.applier.settle()
    const view = await this.deps.state.view()
    try {
      const meta = view.meta === null ? null : decodeStateMeta(view.meta)
      if (view.meta === null || meta === null) throw new Error('the state is empty')
      const bytesEstimate = await view.sizeBytes()
      // A later leader may have led while the view was opened. A state with that leader's entries must not be sent under this ballot.
      this.checkLeading(progress)
      const sink = await this.deps.transport.openSnapshot(plan.to, {
        vote: plan.vote,
        session: plan.session,
        logId: meta.applied,
        membership: meta.membership,
        formatVersion: STATE_STREAM_FORMAT,
        // The size of the view that is sent: the receiver takes not much more than this.
        bytesEstimate,
      })
      try {
        await this.sendChunks(progress, view, view.meta, sink)
      } catch (error) {
        sink.abort()
        throw error
      }
      progress.sentAll()
      const answer = await sink.finish()
      if (!answer.installed) throw new Error(answer.detail)
      return meta.applied
    } finally {
      await view.close()
    }
  }

  private checkLeading({ plan }: SnapshotProgress): void {
    if (this.stopped || !this.deps.leaders.leadsUnder(plan.vote)) throw new Error('this node no longer leads')
  }

  private async sendChunks(
    progress: SnapshotProgress,
    view: StateView,
    meta: Uint8Array,
    sink: SnapshotSink,
  ): Promise<void> {
    const { clock } = this.deps
    let estimateAt = ESTIMATE_EVERY_BYTES
    let readSince = clock.now()
    let lastIndex = this.lastIndex()
    for await (const { chunk, rows, lastKey } of stateChunks(view, meta, this.options.snapshotChunkBytes)) {
      const readMs = clock.now() - readSince
      this.checkLeading(progress)
      await sink.write(chunk)
      progress.sentChunk(chunk.length, rows)
      this.report(progress, 'sending')
      if (progress.bytes >= estimateAt && lastKey !== null) {
        progress.measured(await view.fractionUpTo(lastKey))
        estimateAt = progress.bytes + ESTIMATE_EVERY_BYTES
      }
      const isWriting = this.lastIndex() !== lastIndex
      lastIndex = this.lastIndex()
      await this.pacer.sent(chunk.length, readMs * (isWriting ? REST_FACTOR_WRITING : REST_FACTOR))
      readSince = clock.now()
    }
  }
}
