import type { BenchCluster, BenchNode } from './cluster.ts'
import type { LoadResult } from './load.ts'
import { mean } from './statistics.ts'
import { watchUsage } from './usage.ts'

/** The processes of a cluster, told apart by what they do. */
export interface Roles {
  readonly leader: number | undefined
  readonly followers: readonly (number | undefined)[]
}

export async function rolesOf(cluster: BenchCluster): Promise<Roles> {
  const leader = await cluster.leader()
  const followers = cluster.nodes.filter(({ id }) => id !== leader.id)
  return { leader: leader.pid, followers: followers.map(({ pid }) => pid) }
}

export interface Cost {
  /** CPU time of the leader for each request, and of each follower in the mean. */
  readonly leaderCpuUs: number
  readonly followerCpuUs: number
  /** The largest resident sets. */
  readonly leaderRssMB: number
  readonly followerRssMB: number
}

/** What the nodes spend while `work` runs. */
export async function measureCost<Result extends { readonly requests: number }>(
  roles: Roles,
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly cost: Cost }> {
  const [leader, ...followers] = [roles.leader, ...roles.followers].map(watchUsage)
  try {
    const result = await work()
    const led = leader?.stop()
    const followed = followers.map((one) => one.stop())
    const each = (cpuMs: number): number => (cpuMs * 1000) / Math.max(1, result.requests)
    const cost: Cost = {
      leaderCpuUs: each(led?.cpuMs ?? NaN),
      followerCpuUs: followed.length === 0 ? 0 : each(mean(followed.map(({ cpuMs }) => cpuMs))),
      leaderRssMB: led?.maxMB ?? NaN,
      followerRssMB: Math.max(0, ...followed.map(({ maxMB }) => maxMB)),
    }
    return { result, cost }
  } finally {
    for (const one of [leader, ...followers]) one?.stop()
  }
}

/** What the nodes spend while `work` runs. Rejects when another node than `leader` leads before or after: the figures would mean nothing. */
export async function measureLed<Result extends { readonly requests: number }>(
  cluster: BenchCluster,
  leader: BenchNode,
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly cost: Cost }> {
  const roles = await rolesOf(cluster)
  const measured = await measureCost(roles, work)
  const { leader: pid } = await rolesOf(cluster)
  if (roles.leader !== leader.pid || pid !== leader.pid) throw new Error('the leader has changed while it was measured')
  return measured
}

export type LoadFigures = Omit<LoadResult, 'distribution' | 'requests'>

/** The figures of a load that fit into a table. */
export function figuresOf(result: LoadResult): LoadFigures {
  const { requestsPerSecond, p50, p90, p99, p999, max, errors, generatorCpuUs } = result
  return { requestsPerSecond, p50, p90, p99, p999, max, errors, generatorCpuUs }
}
