import { indexOf, type RaftView } from '../../raft/index.ts'

/** What an operator can do about members that do not answer when a cluster is formed. */
export const START_OVER =
  'Start the members that are down. If an address is wrong, `quorate cluster set-addresses` corrects it once there is a leader. If no member ' +
  'ever has a leader, stop this node, empty its data directory, which holds no data yet, and initialize again'

/**
 * Whether this node has begun to form a cluster and has met no leader of it: nothing can have been stored in that cluster through this
 * node.
 */
export function isUnformed(view: RaftView): boolean {
  const { last, leader } = view
  return last === null ? hasOnlyVoted(view) : indexOf(last) === 0 && leader === null
}

/** Whether this node has given a vote in a cluster of which it holds nothing, and has met no leader of it. */
export function hasOnlyVoted({ last, leader, vote }: RaftView): boolean {
  return last === null && leader === null && vote.leaderId.term > 0 && !vote.committed
}
