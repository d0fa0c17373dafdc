import type { DiskView } from '../../api/cluster.ts'
import type { Command } from '../../kv/index.ts'
import type { Clock } from '../../ports/clock.ts'
import type { StateStore } from '../../ports/state-store.ts'
import type { Transport } from '../../ports/transport.ts'
import type { NodeId } from '../../raft/index.ts'
import type { DiskUsage, Faults, Logger } from '../options.ts'
import type { Warning } from '../peers/warnings.ts'
import type { Replica } from '../replica.ts'
import type { Room } from '../requests/disk-report.ts'
import { ClusterSpace } from './cluster-space.ts'
import { DiskSpace } from './disk-space.ts'
import { Reclaim } from './reclaim.ts'

export interface SpaceOptions {
  readonly id: NodeId
  /** Left out: the disk is not looked at. */
  readonly diskReserveBytes?: number | null
  readonly segmentBytes?: number
}

export interface SpaceDependencies {
  readonly replica: Replica
  readonly state: StateStore
  readonly transport: Transport
  readonly clock: Clock
  readonly logger: Logger
  /** Undefined: the disk cannot be looked at. */
  readonly measure: (() => Promise<DiskUsage>) | undefined
  readonly faults: Faults
}

/** The room on the disks: of this node's, and of the cluster's as far as it decides which writes are taken. */
export class Space {
  private readonly disk: DiskSpace | null
  private readonly cluster: ClusterSpace
  private readonly reclaim: Reclaim

  constructor(options: SpaceOptions, dependencies: SpaceDependencies) {
    const { id, diskReserveBytes, segmentBytes = 0 } = options
    const { replica, state, transport, clock, logger, measure, faults } = dependencies
    const { raft, applier, flusher, leaderCalls } = replica
    this.disk =
      measure === undefined || diskReserveBytes === undefined
        ? null
        : new DiskSpace(
            { diskReserveBytes, segmentBytes },
            { clock, logger, state, measure, onMeasured: () => this.onMeasured() },
          )
    const own = () => this.disk?.state ?? null
    this.cluster = new ClusterSpace({ id, raft, transport, leaderCalls, applier, clock, logger, own })
    this.reclaim = new Reclaim({ clock, logger, applier, flusher, state, measure: () => this.disk?.start(), faults })
  }

  /** Null: not measured, or not yet. */
  get view(): DiskView | null {
    const state = this.disk?.state ?? null
    if (state === null) return null
    const { totalBytes, freeBytes, reserveBytes, room } = state
    return { totalBytes, freeBytes, reserveBytes, short: room !== 'ample' }
  }

  /** Whether this node refuses writes that take space, and how many it has refused. */
  get isRefusing(): boolean {
    return this.cluster.isRefusing
  }

  get refused(): number {
    return this.cluster.refused
  }

  get warnings(): readonly Warning[] {
    return this.cluster.warnings
  }

  roomOf(id: NodeId): Room {
    return this.cluster.roomOf(id)
  }

  /** Throws `RequestError` when the cluster has no room for what `command` leaves on the disks. */
  check(command: Command): void {
    this.cluster.check(command)
  }

  start(): void {
    this.disk?.start()
  }

  stop(): void {
    this.disk?.stop()
    this.cluster.stop()
    this.reclaim.stop()
  }

  private onMeasured(): void {
    this.cluster.onMeasured()
    this.reclaim.look(this.disk?.state?.room ?? 'ample')
  }
}
