import type { ClusterStatus } from '../../src/api/cluster.ts'
import { eventually, type BenchNode } from './cluster.ts'
import { call, getJson } from './rest.ts'

const EQUAL_TIMEOUT_MS = 120_000
const LAG_MAX = 10

export async function statusOf({ api }: BenchNode): Promise<ClusterStatus> {
  return (await getJson(`${api}/cluster`)) as ClusterStatus
}

export async function committedAt(node: BenchNode): Promise<number> {
  return (await statusOf(node)).committed?.index ?? 0
}

/** One value of `/metrics`. */
export async function metric({ api }: BenchNode, name: string): Promise<number> {
  const { body } = await call('GET', `${api}/metrics`)
  const line = body
    .toString()
    .split('\n')
    .find((one) => one.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1))
}

/** All nodes follow the same leader and have caught up with it. */
export async function eventuallyWhole(nodes: readonly BenchNode[], timeoutMs?: number): Promise<void> {
  const attempt = async (): Promise<true | null> => {
    const views = await Promise.all(nodes.map(statusOf))
    const leaders = new Set(views.map((view) => view.leader))
    const lead = views.find((view) => view.leader === view.node.id)
    const members = Object.values(lead?.nodes ?? {})
    const whole =
      members.length === nodes.length &&
      members.every(({ lag, reachable }) => lag !== null && lag < LAG_MAX && reachable === true)
    return leaders.size === 1 && whole ? true : null
  }
  await eventually('the cluster is whole again', attempt, timeoutMs)
}

/** Without writes, all nodes reach the same state. */
export async function eventuallyEqual(nodes: readonly BenchNode[]): Promise<void> {
  let seen = ''
  const attempt = async (): Promise<true | null> => {
    const views = await Promise.all(nodes.map(statusOf))
    const holdings = views.map(({ applied, digest }) => `${applied?.index ?? '-'} ${digest ?? '-'}`)
    seen = holdings.join(', ')
    return new Set(holdings).size === 1 ? true : null
  }
  await eventually('every node holds the same', attempt, EQUAL_TIMEOUT_MS).catch((error: unknown) => {
    throw new Error(`applied and digest of each: ${seen}`, { cause: error })
  })
}
