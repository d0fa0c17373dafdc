import { elementAt } from '../lib/element-at.ts'
import type { Membership, NodeId } from './types.ts'

/**
 * Whether the voters for whom `holds` is true are a majority of every configuration (thesis 4.3: joint consensus needs both).
 * A membership without configurations has no quorum, so a node that knows no membership can decide nothing.
 */
export function hasQuorum(membership: Membership, holds: (id: NodeId) => boolean): boolean {
  if (membership.configs.length === 0) return false
  for (const config of membership.configs) {
    let count = 0
    for (const id of config) if (holds(id)) count += 1
    if (count * 2 <= config.length) return false
  }
  return true
}

/**
 * The greatest value that a majority of every configuration has reached; `-Infinity` when there is no configuration.
 * Learners are in no configuration, so they never count (thesis 4.2.1).
 *
 * For log indexes, the caller must still check thesis 3.6.2: only entries of the leader's own ballot are committed by counting.
 */
export function reachedByQuorum(membership: Membership, valueOf: (id: NodeId) => number): number {
  let least = Infinity
  for (const config of membership.configs) least = Math.min(least, reachedByMajority(config, valueOf))
  return membership.configs.length === 0 ? -Infinity : least
}

function reachedByMajority(config: readonly NodeId[], valueOf: (id: NodeId) => number): number {
  const ascending: number[] = []
  for (const id of config) insert(ascending, valueOf(id))
  // ascending[k] is reached by size - k voters, so a majority has reached the middle element, or the one just below the middle.
  return elementAt(ascending, Math.floor((ascending.length - 1) / 2))
}

/** Configurations are small: insertion beats a general sort. Comparison, unlike subtraction, orders infinities. */
function insert(ascending: number[], value: number): void {
  let at = ascending.length
  for (; at > 0; at--) {
    const below = elementAt(ascending, at - 1)
    if (below <= value) break
    ascending[at] = below
  }
  ascending[at] = value
}
