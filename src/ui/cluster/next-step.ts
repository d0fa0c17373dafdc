import type { ClusterStatus } from '../../client/api-types.ts'
import { list, nodes } from '../lib/format.ts'
import { capital } from '../lib/sentence.ts'
import { configsOf, downAmong, leftToFail, membersOf, votersOf } from './members.ts'

export interface Step {
  readonly tone: 'info' | 'warn' | 'bad'
  readonly title: string
  readonly text: string
  /** The page where it is done. */
  readonly page: 'members' | null
}

type Rule = (cluster: ClusterStatus) => Step | null

/** What the person who looks has to do next, the most urgent thing alone; null when there is nothing to do. */
export function nextStep(cluster: ClusterStatus): Step | null {
  for (const rule of rules) {
    const step = rule(cluster)
    if (step !== null) return step
  }
  return null
}

const rules: readonly Rule[] = [
  noCluster,
  gone,
  lostQuorum,
  noLeader,
  downNodes,
  failedAutomation,
  readyLearners,
  spareVoters,
]

function noCluster({ clusterId, membership, node, formation }: ClusterStatus): Step | null {
  if (clusterId !== null && membership !== null) return null
  if (formation.mode === 'automatic') {
    return { tone: 'info', title: 'The cluster is being formed', text: formation.reason, page: null }
  }
  const text =
    'Form a cluster with `quorate cluster initialize`, which names all its first voters, or add this node to one that there is: open the ' +
    `dashboard of a member, and add node ${node.id} as a learner.`
  return { tone: 'info', title: 'This node belongs to no cluster', text, page: null }
}

function gone({ node }: ClusterStatus): Step | null {
  if (node.state !== 'removed') return null
  const text =
    'It gets nothing any more, and refuses requests. Stop it, and delete its data directory; or add it again, from the dashboard of a member.'
  return { tone: 'warn', title: `Node ${node.id} has been removed`, text, page: null }
}

function lostQuorum(cluster: ClusterStatus): Step | null {
  if (leftToFail(cluster) >= 0 || isToldByLeader(cluster)) return null
  const down = [...new Set(configsOf(cluster).flatMap((voters) => downAmong(voters, cluster)))].toSorted(
    (a, b) => a - b,
  )
  const text =
    `Start ${nodes(down)} again, or reconnect ${down.length === 1 ? 'it' : 'them'}. Without a majority nothing can be written. If the data ` +
    'of a majority is lost for good, `quorate recover --help` tells the way out.'
  return { tone: 'bad', title: 'A majority of the voters is missing', text, page: null }
}

/** Another node leads: what this one misses, the leader need not miss. */
function isToldByLeader({ leader, node }: ClusterStatus): boolean {
  return leader !== null && leader !== node.id
}

function noLeader({ leader, node }: ClusterStatus): Step | null {
  if (leader !== null) return null
  const text =
    'An election takes about a second. If no leader appears, the logs of the nodes say why; this node can be told to stand.'
  return { tone: 'warn', title: `Node ${node.id} knows no leader`, text, page: 'members' }
}

function downNodes(cluster: ClusterStatus): Step | null {
  const down = membersOf(cluster).filter(({ status }) => status.reachable === false)
  if (down.length === 0) return null
  const ids = down.map(({ id }) => id)
  const [they, are] = ids.length === 1 ? ['it', 'is'] : ['they', 'are']
  const left = leftToFail(cluster)
  const may = left === 0 ? 'No other voter may fail meanwhile.' : `${left} more may fail meanwhile.`
  const them = ids.length === 1 ? 'it' : 'them'
  const text = isToldByLeader(cluster)
    ? `Node ${cluster.node.id} misses ${them}. Whether node ${cluster.leader}, which leads, does as well is on its own dashboard.`
    : `Start ${nodes(ids)} again; if ${they} ${are} gone for good, remove ${them}. ${may}`
  return { tone: 'warn', title: `${capital(nodes(ids))} ${are} not connected`, text, page: 'members' }
}

function failedAutomation({ formation, joining }: ClusterStatus): Step | null {
  const failure = formation.failure ?? joining.failure
  if (failure === null) return null
  return { tone: 'warn', title: 'An automatic change has failed', text: failure, page: null }
}

/** Only a leader that promotes by itself needs nobody for that. */
function readyLearners(cluster: ClusterStatus): Step | null {
  if (cluster.joining.mode === 'on' || cluster.membership?.joint === true) return null
  const ready = membersOf(cluster).filter(({ status }) => status.role === 'learner' && status.phase === 'caught-up')
  if (ready.length === 0) return null
  const ids = ready.map(({ id }) => id)
  const have = ids.length === 1 ? 'has' : 'have'
  const text = `Promote ${ids.length === 1 ? 'it' : 'them'}, unless no vote is meant.`
  return { tone: 'info', title: `${capital(nodes(ids))} ${have} caught up`, text, page: 'members' }
}

function spareVoters(cluster: ClusterStatus): Step | null {
  const voters = votersOf(cluster)
  if (cluster.membership?.joint === true || voters.length !== 2) return null
  const text = `Add a third: of the voters ${list(voters)} neither may fail.`
  return { tone: 'info', title: 'Two voters are no safer than one', text, page: 'members' }
}
