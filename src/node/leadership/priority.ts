import type { FollowerView, NodeId } from '../../raft/index.ts'

/** The priority of a node that was given none. */
export const LEADER_PRIORITY_DEFAULT = 50
/** What a node counts as whose disk is short. */
export const PRIORITY_WITHOUT_ROOM = -1

/** Followers that are this close to each other count as equally far: under load no follower has quite everything. */
const CLOSE_ENTRIES = 256
/** How long a node must have been heard without interruption, and this one must have led, before leadership moves. */
const STEADY_MS = 10_000
/** The same when the leader has priority 0, or no room: it leads only because no other node could. */
const STEADY_MS_OF_NONE = 2_000
/** The least time between two such moves by one node. */
const HANDOVER_INTERVAL_MS = 60_000

/** A voter that may lead instead, as the leader sees it. */
export interface Candidate {
  readonly id: NodeId
  readonly priority: number
  readonly mode: FollowerView['mode']
  /** How many entries it is behind. */
  readonly lag: number
  /** Since when it has been heard without interruption; null: it is not heard. */
  readonly steadySince: number | null
}

export interface Tenure {
  readonly now: number
  readonly priority: number
  readonly ledSince: number
  /** When this node last handed over because of priorities; null: never. */
  readonly handedOverAt: number | null
  /** A transfer or a membership change is in progress. */
  readonly busy: boolean
  readonly candidates: readonly Candidate[]
}

/**
 * Which node should lead when the leader stops: of the nodes that are heard and about equally far, the one with the highest priority. Null
 * when there is none. This is a hint: the chosen node still has to be caught up and elected like any other (thesis 3.10).
 */
export function successor(candidates: readonly Candidate[]): NodeId | null {
  const able = candidates.filter(({ mode, steadySince }) => mode === 'replicate' && steadySince !== null)
  const least = Math.min(...able.map(({ lag }) => lag))
  return bestOf(able.filter(({ lag }) => lag <= least + CLOSE_ENTRIES))
}

/**
 * The preferred node to which a leader should hand leadership; null to go on leading.
 *
 * Leadership must not move to and fro. It moves only to a node of higher priority that is caught up and has been heard for a while, only
 * after this node has led for a while, and seldom.
 */
export function takeover({ now, priority, ledSince, handedOverAt, busy, candidates }: Tenure): NodeId | null {
  const steadyMs = priority <= 0 ? STEADY_MS_OF_NONE : STEADY_MS
  if (busy || now < ledSince + steadyMs) return null
  if (handedOverAt !== null && now < handedOverAt + HANDOVER_INTERVAL_MS) return null
  const preferred = candidates.filter(
    (one) =>
      one.priority > priority &&
      one.mode === 'replicate' &&
      one.lag <= CLOSE_ENTRIES &&
      one.steadySince !== null &&
      now >= one.steadySince + steadyMs,
  )
  return bestOf(preferred)
}

/** The one with the highest priority, then the one least behind, then the one with the highest id. */
function bestOf(candidates: readonly Candidate[]): NodeId | null {
  const [best] = [...candidates].sort((a, b) => b.priority - a.priority || a.lag - b.lag || b.id - a.id)
  return best?.id ?? null
}
