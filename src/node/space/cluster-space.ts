import type { Command, MachineState } from '../../kv/index.ts'
import { growthOf, isHistoryRecorded } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { roughSize } from '../../lib/size.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Transport } from '../../ports/transport.ts'
import type { LeaderId, NodeId, Raft } from '../../raft/index.ts'
import { nodeId, sameLeaderId, votersOf } from '../../raft/index.ts'
import type { Logger } from '../options.ts'
import type { Warning } from '../peers/warnings.ts'
import type { LeaderCalls } from '../requests/leader-calls.ts'
import type { DiskReport, DiskVerdict, Room } from '../requests/disk-report.ts'
import { leaderRequests } from '../requests/leader-requests.ts'
import type { DiskState } from './disk-space.ts'
import { clusterRoom, enoughBytes } from './room.ts'

export interface ClusterSpaceDependencies {
  readonly id: NodeId
  readonly raft: Pick<Raft, 'state' | 'leader' | 'vote' | 'effectiveMembership'>
  readonly transport: Pick<Transport, 'isConnected'>
  readonly leaderCalls: LeaderCalls
  readonly applier: { readonly machineState: MachineState }
  readonly clock: Clock
  readonly logger: Logger
  /** The disk of this node; null: not known. */
  readonly own: () => DiskState | null
}

const NOTHING_SHORT: DiskVerdict = { room: 'ample', disks: [], missing: [] }

/**
 * Keeps the disks of a quorum from filling up: writes that leave more on the disks than they found are refused in time, and those that free
 * space go on.
 *
 * Every node tells the leader how its disk is, and hears in the answer what the leader makes of what all have told. So each node refuses by
 * itself, before anything is proposed. What is let through until a change is known everywhere, the reserve has room for.
 */
export class ClusterSpace {
  /** Writes that were refused. */
  refused = 0
  private readonly deps: ClusterSpaceDependencies
  /** What other nodes have said. */
  private reports = new Map<NodeId, DiskReport>()
  /** Under which ballot this node last led, since when, and who has told it anything since then. */
  private reign: { readonly leaderId: LeaderId; readonly since: number; readonly heard: Set<NodeId> } | null = null
  private verdict = NOTHING_SHORT
  private verdictAt = 0
  private isAsking = false
  private stopped = false

  constructor(dependencies: ClusterSpaceDependencies) {
    this.deps = dependencies
    dependencies.leaderCalls.handle(leaderRequests.diskReport, async (report) => this.onReport(report))
  }

  /** Whether this node refuses writes. */
  get isRefusing(): boolean {
    return this.room() !== 'ample'
  }

  /** How the disk of a member is, as far as this node knows. */
  roomOf(id: NodeId): Room {
    const disk = id === this.deps.id ? this.deps.own() : this.reports.get(id)
    return disk?.room ?? 'ample'
  }

  get warnings(): readonly Warning[] {
    const { own: ownDisk, id } = this.deps
    const own = ownDisk()
    const nearlyFull = own === null || own.room === 'ample' ? [] : [warningOf({ id, ...own })]
    return this.isRefusing ? [...nearlyFull, this.refusing()] : nearlyFull
  }

  /** The disk of this node has been measured. */
  onMeasured(): void {
    const { raft, id } = this.deps
    if (this.stopped) return
    if (raft.state === 'leader') this.judge(id)
    else if (raft.leader !== null && raft.leader !== id) this.tell()
  }

  /** Throws `RequestError` when `command` is one of those that are refused. */
  check(command: Command): void {
    if (this.verdict.room === 'ample') return
    const room = this.room()
    if (room === 'ample') return
    const growth = growthOf(command)
    const copies = growth === 'history' && room === 'scarce' && isHistoryRecorded(this.deps.applier.machineState)
    if (growth !== 'store' && !copies) return
    this.refused += 1
    throw this.refusal(copies)
  }

  stop(): void {
    this.stopped = true
  }

  /** The verdict of a leader that is not heard any more expires. */
  private room(): Room {
    const { raft, clock } = this.deps
    const isOld = clock.now() > this.verdictAt + limits.diskReserve.verdictMs
    return isOld && raft.state !== 'leader' ? 'ample' : this.verdict.room
  }

  private onReport(report: DiskReport): DiskVerdict | null {
    const { raft } = this.deps
    const { nodes } = raft.effectiveMembership.membership
    for (const id of this.reports.keys()) if (!nodes.has(id)) this.reports.delete(id)
    const id = nodeId(report.id)
    if (nodes.has(id)) this.reports.set(id, report)
    return this.judge(id) ? this.verdict : null
  }

  /** `from` has just told how its disk is. Returns whether this leader knows enough to judge. */
  private judge(from: NodeId): boolean {
    const { raft, transport, id: self } = this.deps
    const { membership } = raft.effectiveMembership
    const isConnected = (id: NodeId): boolean => id === self || transport.isConnected(id)
    if (!this.hasHeard(votersOf(membership).filter(isConnected), from)) return false
    const room = clusterRoom(membership, (id) => ({ room: this.roomOf(id), isConnected: isConnected(id) }))
    const voters = votersOf(membership)
    const disks = voters.flatMap((id) => this.shortDiskOf(id))
    this.take({ room, disks, missing: voters.filter((id) => !isConnected(id)) })
    return true
  }

  /** A new leader leaves what its predecessor has said in force until all have told it how they are, or have had the time. */
  private hasHeard(voters: readonly NodeId[], from: NodeId): boolean {
    const { raft, clock } = this.deps
    const { leaderId } = raft.vote
    if (this.reign === null || !sameLeaderId(this.reign.leaderId, leaderId))
      this.reign = { leaderId, since: clock.now(), heard: new Set() }
    const { since, heard } = this.reign
    heard.add(from)
    return clock.now() > since + 2 * limits.diskReserve.farMs || voters.every((id) => heard.has(id))
  }

  /** None, or the one of `id`. */
  private shortDiskOf(id: NodeId): DiskReport[] {
    const disk = id === this.deps.id ? this.deps.own() : (this.reports.get(id) ?? null)
    return disk === null || disk.room === 'ample' ? [] : [{ ...disk, id }]
  }

  private take(verdict: DiskVerdict): void {
    const { clock, logger } = this.deps
    const { room: before } = this.verdict
    this.verdict = verdict
    this.verdictAt = clock.now()
    if (verdict.room === before) return
    if (verdict.room === 'ample') logger.info({}, 'writes of all kinds are taken again')
    else logger.warn({ room: verdict.room, disks: verdict.disks }, 'writes that take space are refused')
  }

  /** Tells the leader. One call at a time. */
  private tell(): void {
    const { own: ownDisk, id, leaderCalls } = this.deps
    const own = ownDisk()
    if (own === null || this.isAsking) return
    this.isAsking = true
    const options = { timeoutMs: limits.diskReserve.farMs, repeatable: true, behalf: 'node' } as const
    void leaderCalls
      .call(leaderRequests.diskReport, { id, ...own }, options)
      .then(
        (verdict) => this.onVerdict(verdict),
        // There is no leader, or one of a build that knows nothing of reserves: what was said last holds for its time.
        () => undefined,
      )
      .finally(() => (this.isAsking = false))
  }

  private onVerdict(verdict: DiskVerdict | null): void {
    // This node leads by now, and judges by itself.
    if (verdict === null || this.stopped || this.deps.raft.state === 'leader') return
    this.take(verdict)
    // Should this node lead next, it begins with what the leader knows.
    this.reports = new Map(verdict.disks.map((disk) => [nodeId(disk.id), disk]))
  }

  private refusing(): Warning {
    const { disks, missing, room } = this.verdict
    const what =
      room === 'scarce' ? 'writes that take space, and deletes that history copies,' : 'writes that take space'
    const detail = `${what} are refused: below the reserves of their disks: ${namesOf(disks)}${absent(missing)}. ${WAY_OUT}`
    return { code: 'writes-refused', detail }
  }

  private refusal(copies: boolean): RequestError {
    const { disks, missing } = this.verdict
    const shown = disks.slice(0, limits.reasonNamesMax)
    const reason = `${shown.map(described).join('; ')}${absent(missing)}; nothing was proposed`
    const detail = copies
      ? `history copies what is deleted, and ${reason}. ${WAY_OUT_OF_COPIES}`
      : `${reason}. ${WAY_OUT}`
    return new RequestError('no-space', detail, { nodes: shown.map(factsOf) })
  }
}

const WAY_OUT =
  'Delete keys, compact the history, or give the disks more room: writes are then taken again without further ado'
const WAY_OUT_OF_COPIES = 'Switch history off (PUT /compaction with 0 revisions), then delete'

function warningOf(disk: DiskReport): Warning {
  return { code: 'disk-reserve', detail: `${described(disk)}. ${WAY_OUT}` }
}

function described({ id, totalBytes, freeBytes, reserveBytes }: DiskReport): string {
  const [free, total, reserve, enough] = [freeBytes, totalBytes, reserveBytes, enoughBytes(reserveBytes)].map(roughSize)
  return `the disk of node ${id} has ${free} of ${total} free, and its reserve is ${reserve}: it has room again at ${enough}`
}

function factsOf({ id, totalBytes, freeBytes, reserveBytes }: DiskReport) {
  return { id, totalBytes, freeBytes, reserveBytes }
}

/** Without numbers, which differ from moment to moment: nodes that say the same are to be heard once. */
function namesOf(disks: readonly DiskReport[]): string {
  return disks.map(({ id }) => `node ${id}`).join(', ')
}

function absent(missing: readonly number[]): string {
  return missing.length === 0 ? '' : `; not connected: ${missing.map((id) => `node ${id}`).join(', ')}`
}
