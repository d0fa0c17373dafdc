import { assert } from '../../lib/assert.ts'
import type { LogStore } from '../../ports/log-store.ts'
import { toError } from '../../lib/to-error.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Transport } from '../../ports/transport.ts'
import type {
  LeaderId,
  LogBatch,
  LogIndex,
  NodeId,
  Raft,
  RaftEvent,
  ReadRelease,
  SnapshotPlan,
  Vote,
} from '../../raft/index.ts'
import { sameLeaderId } from '../../raft/index.ts'
import type { Adoption } from '../peers/peers-options.ts'
import { LogWriter, type DiskPatience } from './log-writer.ts'
import type { Logger } from '../options.ts'
import { AppendSender } from './append-sender.ts'

export interface RaftDriverOptions {
  readonly frameBytesMax: number
  /** A leader whose disk does not finish a write within this time steps down; large writes get more time. */
  readonly disk: DiskPatience
}

export interface RaftDriverDependencies {
  readonly raft: Raft
  readonly log: LogStore
  readonly clock: Clock
  readonly transport: Transport
  readonly logger: Logger
  /** This node belongs to a cluster now, and has told no other node yet. */
  readonly onJoined: (from: NodeId | null) => void
  readonly onSnapshotPlan: (plan: SnapshotPlan) => void
  readonly onCommitted: (index: LogIndex) => void
  readonly onEvent: (event: RaftEvent) => void
  readonly onRead: (release: ReadRelease) => void
  /** Called after every input: anything that can be seen of the core may have changed. */
  readonly onChanged: () => void
  readonly onFault: (error: Error) => void
}

/**
 * Connects the core with its disk, its clock and its network. Everything that happens goes into the core as an input (`input`). What the
 * core wants done comes out as effects, which are carried out at once, in the order that the core states. The core never waits: news of
 * durability is an input too.
 */
export class RaftDriver {
  readonly raft: Raft
  private readonly options: RaftDriverOptions
  private readonly deps: RaftDriverDependencies
  private readonly writer: LogWriter
  private readonly appendSender: AppendSender
  private clusterId: string | null
  private timerAt = Infinity
  private cancelTimer: (() => void) | null = null
  private carrying = false
  /** An input has arrived whose effects are not taken yet. */
  private isDue = false
  private stopped = false

  constructor(options: RaftDriverOptions, deps: RaftDriverDependencies, clusterId: string | null) {
    this.options = options
    this.deps = deps
    this.raft = deps.raft
    this.clusterId = clusterId
    const { log, clock, transport, onFault } = deps
    this.writer = new LogWriter({
      log,
      now: () => clock.now(),
      clusterId: () => this.clusterId,
      onPersisted: (seq) => this.input(() => this.raft.persisted(clock.now(), seq)),
      send: (message) => this.appendSender.send(message),
      onFault,
    })
    this.appendSender = new AppendSender(options, {
      transport,
      readCached: (first, last, bytesMax) => this.readCached(first, last, bytesMax),
      read: (first, last, bytesMax) => this.read(first, last, bytesMax),
      leadsUnder: (vote) => this.leadsUnder(vote),
      onFault,
    })
  }

  /** The id of the cluster that this node belongs to; null for a pristine node. */
  get clusterIdentity(): string | null {
    return this.clusterId
  }

  /** The ballot under which this node leads; null when it does not. */
  leading(): LeaderId | null {
    return this.raft.state === 'leader' ? this.raft.vote.leaderId : null
  }

  leadsUnder(vote: Vote): boolean {
    const leading = this.leading()
    return leading !== null && sameLeaderId(leading, vote.leaderId)
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
      this.deps.onFault(fault)
      throw fault
    }
  }

  /**
   * Joins a cluster: from now on this node refuses every other one. The cluster id is stored before anything of that cluster. `from`: the
   * member that brought it; null when this node itself forms the cluster.
   */
  adoptCluster(clusterId: string, from: NodeId | null): void {
    if (this.clusterId !== null) return
    this.clusterId = clusterId
    this.deps.onJoined(from)
    this.deps.logger.info({ clusterId }, 'cluster joined')
    this.writer.enqueueHardState({ type: 'hard-state', state: { vote: this.raft.vote, clusterId } })
  }

  /** Batches of the log, durable or not, from memory; null when some are not in memory. */
  readCached(first: LogIndex, last: LogIndex, bytesMax: number): readonly LogBatch[] | null {
    return this.writer.readCached(first, last, bytesMax)
  }

  /** The same, from disk if need be; null when they are gone. */
  read(first: LogIndex, last: LogIndex, bytesMax: number): Promise<readonly LogBatch[] | null> {
    return this.writer.read(first, last, bytesMax)
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
    const effects = this.raft.takeEffects()
    // The first thing of a cluster that this node stores binds it to that cluster.
    if (adopting !== null && effects.writes.length > 0) this.adoptCluster(adopting.clusterId, adopting.from)
    this.writer.enqueue(effects.writes, effects.lastSeq, effects.held)
    for (const message of effects.sends) this.appendSender.send(message)
    for (const plan of effects.snapshots) this.deps.onSnapshotPlan(plan)
    for (const event of effects.events) this.deps.onEvent(event)
    // The state must not reach its disk before the vote and the cluster id that it was made under: a restart would find those missing. Once
    // they are on disk, this method runs again.
    if (this.writer.isHardStateDurable) this.deps.onCommitted(effects.committed)
    for (const release of effects.reads) this.deps.onRead(release)
    this.deps.onChanged()
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
