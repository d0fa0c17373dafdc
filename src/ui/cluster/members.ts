import type { ClusterStatus, MemberStatus } from '../../client/api-types.ts'

export interface Member {
  readonly id: number
  readonly status: MemberStatus
  readonly isLeader: boolean
  /** A voter that is not heard, or that hears no leader, need not follow anybody. */
  readonly role: 'leader' | 'follower' | 'voter' | 'learner'
  /** The node of this page. */
  readonly isSelf: boolean
  /** While voters change: whether it becomes one, or ceases to be one. */
  readonly change: 'joining' | 'leaving' | null
}

/** The members in the order of their ids. */
export function membersOf(cluster: ClusterStatus): readonly Member[] {
  const [before = [], after] = configsOf(cluster)
  const changeOf = (id: number): Member['change'] => {
    if (after === undefined || before.includes(id) === after.includes(id)) return null
    return after.includes(id) ? 'joining' : 'leaving'
  }
  return Object.entries(cluster.nodes)
    .map(([name, status]) => {
      const id = Number(name)
      const isLeader = cluster.leader === id
      return {
        id,
        status,
        isLeader,
        role: roleOf(status, cluster.leader, isLeader),
        isSelf: cluster.node.id === id,
        change: changeOf(id),
      }
    })
    .toSorted((a, b) => a.id - b.id)
}

function roleOf({ role, reachable }: MemberStatus, leader: number | null, isLeader: boolean): Member['role'] {
  if (isLeader) return 'leader'
  if (role === 'learner') return role
  return leader === null || reachable === false ? 'voter' : 'follower'
}

/** The voters: two lists while they change. */
export function configsOf({ membership }: ClusterStatus): readonly (readonly number[])[] {
  return membership?.effective.membership.configs ?? []
}

/** The voters as they are, or as they are to be. */
export function votersOf(cluster: ClusterStatus): readonly number[] {
  return configsOf(cluster).at(-1) ?? []
}

export function learnersOf({ membership }: ClusterStatus): readonly number[] {
  return membership?.effective.membership.learners ?? []
}

/** The index of the membership that is shown: a change that somebody else makes first is not made twice. */
export function shownAt({ membership }: ClusterStatus): number | null {
  return membership?.effective.logId?.index ?? null
}

/** How the cluster, its members or their leader differ from `before`, in a sentence; null: they do not. */
export function overtakenBy(present: ClusterStatus, before: ClusterStatus): string | null {
  if (present.clusterId !== before.clusterId) return 'Another cluster answers at this address.'
  if (shownAt(present) !== shownAt(before)) return 'Somebody has changed the members.'
  if (present.leader === before.leader) return null
  return present.leader === null ? 'There is no leader.' : `Node ${present.leader} leads.`
}

/** The voters that do not have the membership that is shown, as far as the node of this page knows: only a leader does. */
export function withoutMembership(cluster: ClusterStatus): readonly number[] {
  const index = shownAt(cluster)
  const isWithout = ({ role, matched }: MemberStatus): boolean =>
    role === 'voter' && matched !== null && index !== null && matched < index
  return Object.entries(cluster.nodes).flatMap(([id, status]) => (isWithout(status) ? [Number(id)] : []))
}

/** How many of `voters` may be down at once. */
export function toleranceOf(voters: readonly number[]): number {
  return Math.max(0, Math.ceil(voters.length / 2) - 1)
}

/** Voters that the node of this page does not reach. */
export function downAmong(voters: readonly number[], { nodes }: ClusterStatus): readonly number[] {
  return voters.filter((id) => nodes[id]?.reachable === false)
}

/** How many more voters may fail; negative when a majority is missing. While voters change, the worse of the two lists counts. */
export function leftToFail(cluster: ClusterStatus): number {
  const left = configsOf(cluster).map((voters) => toleranceOf(voters) - downAmong(voters, cluster).length)
  return left.length === 0 ? 0 : Math.min(...left)
}

/** The dashboard of another node; null when its address is none that a browser can open. */
export function dashboardOf({ api }: Pick<MemberStatus, 'api'>): string | null {
  if (!URL.canParse(api)) return null
  const { protocol, origin } = new URL(api)
  return protocol === 'http:' || protocol === 'https:' ? `${origin}/ui/` : null
}
