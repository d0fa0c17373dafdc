import type { FollowerView, NodeId } from '../../raft/index.ts'

/** Of a node that was given none. */
export const LEADER_PRIORITY_DEFAULT = 50

/** A follower this close to the others counts as equally far: under load nobody has quite everything. */
const CLOSE_ENTRIES = 256
/** For how long a node must have been heard without a break, and this one must have led, before leadership moves. */
const STEADY_MS = 10_000
/** The same for a leader of priority 0, which leads only because nobody else could. */
const STEADY_MS_OF_NONE = 2_000
/** Between two such moves by one node. */
const HANDOVER_INTERVAL_MS = 60_000

/** A voter that may lead instead, as the leader sees it. */
export interface Candidate {
  readonly id: NodeId
  readonly priority: number
  readonly mode: FollowerView['mode']
  /** Entries that it is behind. */
  readonly lag: number
  /** Since when it has been heard without a break; null: it is not heard. */
  readonly steadySince: number | null
}

export interface Tenure {
  readonly now: number
  readonly priority: number
  readonly ledSince: number
  /** When this node handed over because of priorities last. */
  readonly handedOverAt: number | null
  /** A transfer or a change of the membership is under way. */
  readonly busy: boolean
  readonly candidates: readonly Candidate[]
}

/**
 * Who shall lead after a leader that stops: of those that are heard and about equally far, the one with the highest priority. Null when
 * nobody can. A hint: whoever is named has to be caught up and elected like anybody else (thesis 3.10).
 */
export function successor(candidates: readonly Candidate[]): NodeId | null {
  const able = candidates.filter(({ mode, steadySince }) => mode === 'replicate' && steadySince !== null)
  const least = Math.min(...able.map(({ lag }) => lag))
  return bestOf(able.filter(({ lag }) => lag <= least + CLOSE_ENTRIES))
}

/**
 * To whom a leader shall give leadership because that node is preferred; null to go on leading.
 *
 * Leadership must not move to and fro: only to a node of higher priority that is caught up and has been heard for a while, only after
 * leading for a while, and seldom.
 */
export function takeover({ now, priority, ledSince, handedOverAt, busy, candidates }: Tenure): NodeId | null {
  const steadyMs = priority === 0 ? STEADY_MS_OF_NONE : STEADY_MS
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

/** The highest priority, then the least behind, then the highest id. */
function bestOf(candidates: readonly Candidate[]): NodeId | null {
  const [best] = [...candidates].sort((a, b) => b.priority - a.priority || a.lag - b.lag || b.id - a.id)
  return best?.id ?? null
}
