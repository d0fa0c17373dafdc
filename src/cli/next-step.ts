import type { ClusterStatus } from '../api/cluster.ts'
import type { ClusterViews } from './cluster-views.ts'
import { clusterWarnings } from './cluster-warnings.ts'
import { hasQuorum, leftToFail } from './quorum.ts'

type Rule = (seen: ClusterViews) => string | null

/** What the person who looks at the cluster has to do next, the most urgent thing alone; null when there is nothing to do. */
export function nextStep(seen: ClusterViews): string | null {
  const { newest } = seen
  if (newest.clusterId === null || newest.membership === null) return joinSomething(newest)
  for (const rule of rules) {
    const step = rule(seen)
    if (step !== null) return step
  }
  return null
}

// Without a leader no command changes the membership. With one, a warning that names its command knows more than what is merely not reached.
const rules: readonly Rule[] = [
  lostQuorum,
  noLeader,
  dueCommand,
  closedAddress,
  deadNodes,
  warned,
  learners,
  spareVoters,
]

function joinSomething({ node, formation }: ClusterStatus): string | null {
  if (formation.mode === 'automatic') return null
  return `form a cluster with \`quorate cluster initialize\`, or add node ${node.id} to one with \`quorate cluster add-learner ${node.id}\``
}

function lostQuorum(seen: ClusterViews): string | null {
  const { newest } = seen
  const configs = newest.membership?.effective.membership.configs ?? []
  const short = configs.find((voters) => leftToFail(voters, newest.nodes) < 0)
  if (short === undefined) return null
  const down = short.filter((id) => newest.nodes[id]?.reachable === false)
  // A cluster that has never had a leader holds nothing that could be recovered.
  const isUnformed = clusterWarnings(seen).some(({ code }) => code === 'unformed')
  return (
    `start ${describeNodes(down)} again, or reconnect them: without ${short.length === 1 ? 'it' : 'a majority'} nothing can be written. ` +
    (isUnformed
      ? 'If that cannot be, see to the warnings above'
      : 'If they are lost for good, see `quorate recover --help`')
  )
}

function noLeader(seen: ClusterViews): string | null {
  if (hasQuorum(seen.newest)) return null
  const otherwise = clusterWarnings(seen).length === 0 ? 'look at the logs of the nodes' : 'see to the warnings above'
  return `wait a moment for an election, and look again; if no leader appears, ${otherwise}`
}

/** A node that this command cannot reach, though its peers do: its API address is wrong, or closed to this machine. */
function closedAddress({ newest, silent }: ClusterViews): string | null {
  const unreached = silent.flatMap(({ origin }) => {
    const member = Object.entries(newest.nodes).find(
      ([, { api }]) => URL.canParse(api) && new URL(api).origin === origin,
    )
    return member !== undefined && member[1].reachable === true ? [{ id: Number(member[0]), origin }] : []
  })
  const [first] = unreached
  if (first === undefined) return null
  return `find out why ${first.origin} does not answer here: the peers of node ${first.id} reach it, so its API address may be wrong or closed to this machine`
}

function deadNodes(seen: ClusterViews): string | null {
  const { newest } = seen
  const down = Object.entries(newest.nodes).filter(([, { reachable }]) => reachable === false)
  if (down.length === 0) return null
  const ids = down.map(([id]) => Number(id))
  const gone = ids.length === 1 ? `\`quorate cluster remove ${ids[0]}\`` : '`quorate cluster remove` for each'
  const first = clusterWarnings(seen).length === 0 ? '' : 'see to the warnings above; if they say nothing of it, '
  return `${first}start ${describeNodes(ids)} again; or, if ${ids.length === 1 ? 'it is' : 'they are'} gone for good, ${gone}`
}

/** The command of a warning that says which one to run, with its arguments. */
function dueCommand(seen: ClusterViews): string | null {
  for (const { detail } of clusterWarnings(seen)) {
    const command = /`quorate [a-z-]+ [a-z-]+ [^`]+`/.exec(detail)?.[0]
    if (command !== undefined) return `run ${command}, or do what else the warning above says`
  }
  return null
}

function warned(seen: ClusterViews): string | null {
  return clusterWarnings(seen).length === 0 ? null : 'see to the warnings above'
}

/**
 * A leader that promotes nodes by itself needs nobody for that, up to its target. Of a learner beyond that, which may be a spare, only an even
 * number of voters says that it should vote.
 */
function learners({ newest }: ClusterViews): string | null {
  if (newest.membership?.joint === true) return null
  const ids = Object.entries(newest.nodes)
    .filter(([, { role, phase }]) => role === 'learner' && phase === 'caught-up')
    .map(([id]) => Number(id))
  const [first] = ids
  if (first === undefined) return null
  if (newest.joining.mode === 'on') {
    const voters = newest.membership?.effective.membership.configs.at(-1)?.length ?? 0
    if (voters % 2 === 1) return null
    return (
      `node ${first} has caught up, and ${voters} voters bear no more losses than ${voters - 1}: \`quorate cluster promote ${first}\`, unless the ` +
      'leader does so in a moment. It does not once there are as many voters as --voters-target says'
    )
  }
  return `${describeNodes(ids)} ${ids.length === 1 ? 'has' : 'have'} caught up: \`quorate cluster promote ${ids.join(',')}\`, unless no vote is meant`
}

function spareVoters({ newest }: ClusterViews): string | null {
  const { joint, effective } = newest.membership ?? { joint: false, effective: null }
  const voters = effective?.membership.configs.at(-1)?.length ?? 0
  if (joint || voters !== 2) return null
  return 'add a third voter: of two, neither may fail'
}

function describeNodes(ids: readonly number[]): string {
  return `node${ids.length === 1 ? '' : 's'} ${ids.join(', ')}`
}
