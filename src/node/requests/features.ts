import type { Caller } from '../../api/services.ts'
import type { Retention } from '../../kv/index.ts'
import { encodeCommand, FEATURE_LEVEL } from '../../kv/index.ts'
import { dropOldest } from '../../lib/drop-oldest.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Transport } from '../../ports/transport.ts'
import type { NodeId, Raft } from '../../raft/index.ts'
import type { Logger } from '../options.ts'
import type { Conditions } from './conditions.ts'
import type { Proposals } from './proposals.ts'
import type { Reads } from './reads.ts'

export interface FeaturesOptions {
  readonly id: NodeId
  readonly version: string
  /** The level that this node knows. Lower than `FEATURE_LEVEL` in tests only. */
  readonly featureLevelMax?: number
  /** How much history a cluster keeps at first. */
  readonly historyRetention: Retention
  readonly electionTimeoutMsMax: number
}

export interface FeaturesDependencies {
  readonly raft: Pick<Raft, 'view'>
  /** Tells whether the connection to a node is up over which the node has reported. */
  readonly transport: Pick<Transport, 'isConnected'>
  /** The level of the cluster, as of everything applied here. */
  readonly applier: { readonly level: number }
  readonly proposals: Pick<Proposals, 'submit'>
  readonly reads: Pick<Reads, 'barrier'>
  readonly conditions: Conditions
  readonly clock: Clock
  readonly logger: Logger
}

/** What a node says of its build when it is met. */
export interface Build {
  readonly level: number
  readonly version: string
}

/**
 * Which commands the cluster knows (kv/feature-level.ts). The leader raises the level of the cluster once every member, voter or learner, has
 * reported that it knows the next one. Until then no node proposes a command of that level: a member that did not know it could not go on.
 *
 * A report counts only while its node is connected. The node reports when it is connected, so one that was stopped may come back with another
 * build, and says so before it counts again.
 */
export class Features {
  private readonly options: FeaturesOptions
  private readonly deps: FeaturesDependencies
  private readonly builds = new Map<NodeId, Build>()
  private isRaising = false
  private stopped = false
  private cancelRetry: () => void = () => undefined

  constructor(options: FeaturesOptions, dependencies: FeaturesDependencies) {
    this.options = options
    this.deps = dependencies
  }

  /** The level that this node knows. */
  get own(): number {
    return this.options.featureLevelMax ?? FEATURE_LEVEL
  }

  onReport(id: NodeId, build: Build): void {
    this.builds.delete(id)
    this.builds.set(id, build)
    // Members report anew on every connection. Of other nodes that were met, only a limited number is remembered.
    dropOldest(this.builds, limits.membersMax * 2)
  }

  /** To be called after anything that decides about the level may have changed: entries were applied, or a node was connected. */
  look(): void {
    const { raft, applier } = this.deps
    if (applier.level >= this.own || this.isRaising || this.stopped) return
    const { state, established, effective } = raft.view()
    if (state !== 'leader' || !established) return
    const levels = [...effective.membership.nodes.keys()].map((id) => this.levelOf(id))
    const level = Math.min(...levels)
    if (level > applier.level) this.raise(level)
  }

  /**
   * Resolves once the cluster has `level`, to what is left of `timeoutMs`. Rejects with `RequestError` when it does not have it soon after this
   * node has caught up with it, or this does not come about, in `timeoutMs` at most.
   */
  async require(level: number, timeoutMs: number, caller: Caller | null): Promise<number> {
    const { applier, conditions, reads, clock } = this.deps
    if (applier.level >= level) return timeoutMs
    if (conditions.isFull) throw new RequestError('overloaded', 'too many requests wait for this node; try again later')
    const until = clock.now() + timeoutMs
    // A node that has just started sees the level of long ago.
    await reads.barrier(timeoutMs, caller)
    // A cluster that has just been formed is about to raise its level.
    const patienceMs = Math.min(until - clock.now(), 2 * this.options.electionTimeoutMsMax)
    const isGone = (): boolean => caller?.isGone === true
    await conditions.until(() => applier.level >= level || isGone(), patienceMs)
    if (applier.level < level) throw this.unavailable(level, applier.level)
    return until - clock.now()
  }

  private levelOf(id: NodeId): number {
    return id === this.options.id ? this.own : (this.buildOf(id)?.level ?? 0)
  }

  /** What a node that is connected has reported; null when it is not. */
  private buildOf(id: NodeId): Build | null {
    return this.deps.transport.isConnected(id) ? (this.builds.get(id) ?? null) : null
  }

  private raise(level: number): void {
    const { version, historyRetention: retention, electionTimeoutMsMax } = this.options
    const { proposals, clock, logger } = this.deps
    this.isRaising = true
    const command = encodeCommand({ type: 'raise-level', level, version, retention, idempotency: null })
    proposals.submit(command, electionTimeoutMsMax, { isUpkeep: true }).then(
      () => {
        this.isRaising = false
        logger.info({ featureLevel: level }, 'feature level raised')
      },
      () => {
        if (this.stopped) return
        // The next leader tries again. A refusal may come at once, and again at once: of a node that has no room, or that stops.
        this.cancelRetry = clock.after(electionTimeoutMsMax, () => {
          this.isRaising = false
          this.look()
        })
      },
    )
  }

  /** To be called before the proposals are closed. */
  stop(): void {
    this.stopped = true
    this.cancelRetry()
  }

  /** The error of a request that needs `level`, while the cluster has `clusterLevel`. */
  unavailable(level: number, clusterLevel: number): RequestError {
    const { raft } = this.deps
    const members = [...raft.view().effective.membership.nodes.keys()].filter((id) => this.levelOf(id) < level)
    const found = members.slice(0, limits.reasonNamesMax).map((id) => {
      const build = this.buildOf(id)
      return build === null ? `node ${id} is not connected` : `node ${id} runs version ${build.version}`
    })
    const reason = found.length === 0 ? 'its leader is about to raise it' : found.join(', ')
    return new RequestError(
      'feature-unavailable',
      `this needs feature level ${level}, and the cluster has ${clusterLevel}: ${reason}; nothing was changed. ` +
        'Once every member runs a version that knows it, the level is raised without further ado: try again then',
      { level, clusterLevel, members },
    )
  }
}
