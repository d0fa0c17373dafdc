import { indexOf } from '../../../src/raft/index.ts'
import type { Machine } from './machine.ts'

/**
 * The nodes of the last membership that any of `machines`, all of one cluster, knows to be committed. A node that was not heard when it was
 * removed may go by an earlier one for good: peers report their membership when it connects to them. On the network of the simulator a
 * connection stands as long as its own direction works; the real transport pings, and would connect anew.
 */
export function latestMembersAmong(machines: readonly Machine[]): ReadonlySet<number> {
  const known = machines.flatMap(({ view }) => (view === null ? [] : [view.committedMembership]))
  known.sort((a, b) => indexOf(b.logId) - indexOf(a.logId))
  return new Set(known[0]?.membership.nodes.keys())
}
