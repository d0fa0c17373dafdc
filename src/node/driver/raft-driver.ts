import { assert } from '../../lib/assert.ts'
import { toError } from '../../lib/to-error.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogStore } from '../../ports/log-store.ts'
import type { Transport } from '../../ports/transport.ts'
import type {
  LogBatch,
  LogId,
  LogIndex,
  NodeId,
  ProposeOutcome,
  Raft,
  RaftEvent,
  ReadOutcome,
  ReadRelease,
  SnapshotPlan,
  SnapshotReport,
  Vote,
} from '../../raft/index.ts'
import type { Faults, Logger } from '../options.ts'
import type { OwnCluster } from '../peers/own-cluster.ts'
import type { Adoption } from '../peers/peers-options.ts'
import { AppendSender, type Leadership } from './append-sender.ts'
import type { LogTail } from './log-tail.ts'
import type { LogTimes } from './log-times.ts'
import { LogWriter, type DiskPatience, type WriteListener } from './log-writer.ts'

export interface RaftDriverOptions {
  readonly frameBytesMax: number
  /** A leader whose disk does not finish a write within this time steps down; large writes get more time. */
  readonly disk: DiskPatience
}

/**
 * The parts that carry out what the core decides. They give the driver their inputs, so it is made before them: nothing is asked of them
 * before the first input, and by then all of them exist.
 */
export interface CoreOutlets {
  readonly applier: { foresee(batch: LogBatch): void; commitTo(index: LogIndex): void }
  readonly reads: { onRelease(release: ReadRelease): void }
  readonly snapshotSender: { start(plan: SnapshotPlan): void }
  readonly consequences: { onEvent(event: RaftEvent): void }
}

export interface RaftDriverDependencies {
  readonly raft: Raft
  readonly log: LogStore
  readonly tail: LogTail
  readonly clock: Clock
  readonly transport: Pick<Transport, 'send'>
  readonly logger: Logger
  readonly leadership: Leadership
  readonly ownCluster: OwnCluster
  /** This node belongs to a cluster now, and has told no other node yet. */
  readonly peers: { onJoined(from: NodeId | null): void }
  readonly outlets: CoreOutlets
  /** Told after every input: anything that can be seen of the core may have changed. */
  readonly conditions: { changed(): void }
  /** Null: nobody wants to know how long entries take. */
  readonly times: LogTimes | null
  readonly faults: Faults
}

/**
 * Connects the core with its disk, its clock and its network. Everything that happens goes into the core as an input (`input`). What the
 * core wants done comes out as effects, which are carried out at once, in the order that the core states. The core never waits: news of
 * durability is an input too.
 */
export class RaftDriver implements WriteListener {
  readonly raft: Raft
  private readonly options: RaftDriverOptions
  private readonly deps: RaftDriverDependencies
  private readonly writer: LogWriter
  private readonly appendSender: AppendSender
  private timerAt = Infinity
  private cancelTimer: (() => void) | null = null
  private carrying = false
  /** An input has arrived whose effects are not taken yet. */
  private isDue = false
  private stopped = false

  constructor(options: RaftDriverOptions, deps: RaftDriverDependencies) {
    this.options = options
    this.deps = deps
    this.raft = deps.raft
    const { log, tail, clock, transport, leadership, ownCluster, times, faults } = deps
    this.appendSender = new AppendSender(options, { transport, log: tail, leadership, faults })
    const { appendSender: sender } = this
    this.writer = new LogWriter({ log, tail, clock, ownCluster, listener: this, sender, times, faults })
  }

  /**
   * Gives the core an input and carries out its effects. `adopting`: the cluster that the input came from, if this node has none yet. After
   * an exception here this node must not go on: the exception is reported as a fault, and thrown to the caller that waits for an outcome.
   */
  input<T>(step: () => T, adopting: Adoption | null = null): T {
    try {
      const outcome = step()
      this.carryOut(adopting)
      return outcome
    } catch (error) {
      const fault = toError(error)
      this.deps.faults.report(fault)
      throw fault
    }
  }

  /**
   * Joins a cluster: from now on this node refuses every other one. The cluster id is stored before anything of that cluster. `from`: the
   * member that brought it; null when this node itself forms the cluster.
   */
  adoptCluster(clusterId: string, from: NodeId | null): void {
    const { ownCluster, peers, logger } = this.deps
    if (ownCluster.id !== null) return
    ownCluster.join(clusterId)
    peers.onJoined(from)
    logger.info({ clusterId }, 'cluster joined')
    this.writer.enqueueHardState({ type: 'hard-state', state: { vote: this.raft.vote, clusterId } })
  }

  propose(count: number, body: Uint8Array): ProposeOutcome {
    return this.input(() => this.raft.propose(this.now(), { count, body }))
  }

  /** The core's answer comes as a release (`CoreOutlets.reads`). */
  read(readId: number): ReadOutcome {
    return this.input(() => this.raft.read(this.now(), readId))
  }

  stepDown(reason: string): void {
    this.input(() => this.raft.stepDown(this.now(), reason))
  }

  onPersisted(seq: number): void {
    this.input(() => this.raft.persisted(this.now(), seq))
  }

  onApplied(index: LogIndex): void {
    this.input(() => this.raft.applied(this.now(), index))
  }

  onStateDurable(logId: LogId): void {
    this.input(() => this.raft.stateDurable(this.now(), logId))
  }

  onWoken(): void {
    this.input(() => this.raft.woken(this.now()))
  }

  onSnapshotReport(to: NodeId, session: number, report: SnapshotReport): void {
    this.input(() => this.raft.snapshotReport(this.now(), to, session, report))
  }

  onSnapshotProgress(from: NodeId, vote: Vote): void {
    this.input(() => this.raft.snapshotProgress(this.now(), from, vote))
  }

  /** The number of the last write that was handed to the disk. */
  get lastWrite(): number {
    return this.writer.lastWrite
  }

  /** Whether everything up to write number `seq`, and the id of this node's cluster, is on disk. */
  isDurable(seq: number): boolean {
    return this.writer.isDurable(seq)
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.cancelTimer?.()
    await this.writer.drained()
    this.writer.stop()
  }

  /**
   * Effects are carried out in the order of their inputs. An input from within (an entry that is applied at once) gets a round of its own,
   * after the round in progress.
   */
  private carryOut(adopting: Adoption | null): void {
    this.isDue = true
    if (this.carrying) {
      assert(adopting === null, 'what peers say comes in turns of its own')
      return
    }
    this.carrying = true
    while (this.isDue && !this.stopped) {
      this.isDue = false
      this.carryOutRound(adopting)
    }
    this.carrying = false
  }

  private carryOutRound(adopting: Adoption | null): void {
    const { outlets, conditions } = this.deps
    const effects = this.raft.takeEffects()
    // The first thing of a cluster that this node stores binds it to that cluster.
    if (adopting !== null && effects.writes.length > 0) this.adoptCluster(adopting.clusterId, adopting.from)
    this.writer.enqueue(effects.writes, effects.lastSeq, effects.held)
    for (const message of effects.sends) this.appendSender.send(message)
    for (const plan of effects.snapshots) outlets.snapshotSender.start(plan)
    for (const event of effects.events) outlets.consequences.onEvent(event)
    for (const write of effects.writes) if (write.type === 'append') outlets.applier.foresee(write.batch)
    // The state must not reach its disk before the vote and the cluster id that it was made under: a restart would find those missing. Once
    // they are on disk, this method runs again.
    if (this.writer.isHardStateDurable) outlets.applier.commitTo(effects.committed)
    for (const release of effects.reads) outlets.reads.onRelease(release)
    conditions.changed()
    this.arm()
  }

  private arm(): void {
    const deadline = this.raft.deadline()
    if (this.stopped || deadline >= this.timerAt || deadline === Infinity) return
    this.cancelTimer?.()
    this.timerAt = deadline
    const { clock } = this.deps
    this.cancelTimer = clock.after(Math.max(0, deadline - clock.now()), () => {
      this.timerAt = Infinity
      this.cancelTimer = null
      // Messages that have arrived before the timer are processed first: they may show that the leader is alive.
      clock.nextTurn(() => {
        if (!this.stopped) this.input(() => this.tick(clock.now()))
      })
    })
  }

  private now(): number {
    return this.deps.clock.now()
  }

  private tick(now: number): void {
    // The followers go on committing without this disk, and would have to do so under any other leader. An election stops everybody, so
    // there is a reason for one only when what the disk should write piles up, or when the disk is as good as dead.
    const isHanging = this.writer.isHanging(now, this.options.disk)
    if (isHanging && this.raft.state === 'leader' && !this.isAlone())
      this.raft.stepDown(now, 'its disk does not answer')
    this.raft.tick(now)
  }

  private isAlone(): boolean {
    return this.raft
      .view()
      .effective.membership.configs.flat()
      .every((voter) => voter === this.raft.view().id)
  }
}
