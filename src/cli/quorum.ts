import type { ClusterStatus } from '../api/cluster.ts'

/** Whether the cluster can commit, according to its newest view. A node without a cluster has no quorum to lose. */
export function hasQuorum({ clusterId, leader, membership, nodes }: ClusterStatus): boolean {
  if (clusterId === null || membership === null) return true
  return leader !== null && membership.effective.membership.configs.every((voters) => leftToFail(voters, nodes) >= 0)
}

export function countDown(voters: readonly number[], nodes: ClusterStatus['nodes']): number {
  return voters.filter((id) => nodes[id]?.reachable === false).length
}

/** How many more of `voters` may fail; negative when a majority is missing. */
export function leftToFail(voters: readonly number[], nodes: ClusterStatus['nodes']): number {
  return Math.ceil(voters.length / 2) - 1 - countDown(voters, nodes)
}
