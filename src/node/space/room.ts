import { limits } from '../../limits.ts'
import type { Membership, NodeId } from '../../raft/index.ts'
import { hasQuorum, votersOf } from '../../raft/index.ts'
import { ROOMS, type Room } from '../requests/disk-report.ts'

/** Whether `room` is `other`, or less. */
function isAtMost(room: Room, other: Room): boolean {
  return ROOMS.indexOf(room) >= ROOMS.indexOf(other)
}

/**
 * The room of a disk that had `before`. The reserve is for what frees space, all of which needs some first: the entries of deletions, a flush of
 * the state, a compaction of it. Room comes back a quarter of the reserve later than it goes, so that it does not come and go.
 */
export function roomOf(freeBytes: number, reserveBytes: number, before: Room): Room {
  const isBelow = (room: Room, bytes: number): boolean =>
    freeBytes < (isAtMost(before, room) ? bytes + marginOf(reserveBytes) : bytes)
  if (isBelow('scarce', reserveBytes / 2)) return 'scarce'
  return isBelow('short', reserveBytes) ? 'short' : 'ample'
}

/** How much must be free for a disk that was short to have room again. */
export function enoughBytes(reserveBytes: number): number {
  return reserveBytes + marginOf(reserveBytes)
}

function marginOf(reserveBytes: number): number {
  return reserveBytes / 4
}

export interface ReserveNeeds {
  readonly totalBytes: number
  /** Of one file of the log. */
  readonly segmentBytes: number
  readonly stateBytes: number
}

/** The reserve of a node that was given none: two files of the log, one flush, and one compaction, but not too much of a small disk. */
export function reserveFor({ totalBytes, segmentBytes, stateBytes }: ReserveNeeds): number {
  const { flushBytes, compactionBytesMax, shareMax } = limits.diskReserve
  const needed = 2 * segmentBytes + flushBytes + Math.min(stateBytes, compactionBytesMax)
  return Math.min(needed, Math.floor(totalBytes * shareMax))
}

/** What the leader knows of the disk of a voter. */
export interface VoterRoom {
  /** `ample` when it has not said. */
  readonly room: Room
  readonly isConnected: boolean
}

/**
 * The room of the cluster: what a quorum has. While a quorum has room, writes are committed whatever happens to the other voters. A voter that
 * is not connected is no help, so it counts as one without room as soon as another voter lacks it.
 */
export function clusterRoom(membership: Membership, of: (id: NodeId) => VoterRoom): Room {
  const voters = votersOf(membership)
  const lacking = (room: Room): boolean =>
    voters.some((id) => isAtMost(of(id).room, room)) &&
    !hasQuorum(membership, (id) => of(id).isConnected && !isAtMost(of(id).room, room))
  return lacking('scarce') ? 'scarce' : lacking('short') ? 'short' : 'ample'
}
