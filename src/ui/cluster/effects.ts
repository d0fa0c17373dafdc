import type { ClusterStatus, MemberSpec } from '../../client/api-types.ts'
import { count, list, nodes, plural } from '../lib/format.ts'
import { capital } from '../lib/sentence.ts'
import { downAmong, learnersOf, toleranceOf, votersOf } from './members.ts'

/** What an action will do, in sentences: its dry run. */
export interface Effects {
  readonly effects: readonly string[]
  /** Why one may not want it. */
  readonly warnings: readonly string[]
}

export interface RemovalEffects extends Effects {
  /** It cannot be done at all. */
  readonly isImpossible: boolean
  /** The voters that remain may have no majority, so the change is refused unless it is forced. */
  readonly isRisky: boolean
}

export function effectsOfAdding(cluster: ClusterStatus, id: number | null): Effects {
  const name = id === null ? 'The node' : `Node ${id}`
  return {
    effects: [
      `${name} is sent everything that the cluster holds, and follows from then on. It has no vote.`,
      `The voters stay ${list(votersOf(cluster))}: nothing waits for the new node, and no failure of it matters.`,
      'It has to run already, with an empty data directory.',
    ],
    warnings: [],
  }
}

export function effectsOfPromoting(cluster: ClusterStatus, id: number): Effects {
  const before = votersOf(cluster)
  const after = [...before, id].toSorted((a, b) => a - b)
  const { phase, reachable, lag } = cluster.nodes[id] ?? { phase: null, reachable: null, lag: null }
  const warnings: string[] = []
  if (reachable === false) warnings.push(`Node ${id} is not connected: the promotion is refused.`)
  else if (phase !== null && phase !== 'caught-up') {
    warnings.push(
      `Node ${id} has not caught up (${lag === null ? 'how far it is, is not known' : `${count(lag)} behind`}): the promotion is refused until it has.`,
    )
  }
  if (after.length % 2 === 0) {
    warnings.push(
      `${count(after.length)} voters bear no more failures than ${after.length - 1}, and each change needs one more of them.`,
    )
  }
  return { effects: voterEffects(before, after), warnings }
}

export function effectsOfRemoving(cluster: ClusterStatus, id: number, retain: boolean): RemovalEffects {
  if (learnersOf(cluster).includes(id)) return learnerRemoval(id)
  const before = votersOf(cluster)
  const after = before.filter((voter) => voter !== id)
  if (after.length === 0) {
    const warning = `Node ${id} is the only voter. A cluster needs one: promote another node first.`
    return { effects: [], warnings: [warning], isImpossible: true, isRisky: false }
  }
  const down = downAmong(after, cluster)
  // The leader judges by its own connections. Another node says what it sees, and lets the leader refuse.
  const isMissing = down.length > toleranceOf(after)
  const isRisky = isMissing && cluster.leader === cluster.node.id
  const effects = [...voterEffects(before, after)]
  if (cluster.leader === id) {
    effects.push(
      `Node ${id} leads: it leads the change to its end, then hands over to the voter that is furthest ahead.`,
    )
  }
  effects.push(
    retain
      ? `Node ${id} stays as a learner: it goes on getting everything, without a vote.`
      : `Node ${id} gets nothing more. It refuses requests from then on, and can be stopped, or added again.`,
  )
  const warnings: string[] = []
  if (toleranceOf(after) === 0) {
    warnings.push(after.length === 1 ? 'One voter alone bears no failure.' : 'Of two voters neither may fail.')
  }
  if (isMissing) {
    const missed = `${capital(nodes(down))} ${down.length === 1 ? 'is' : 'are'} not connected`
    warnings.push(
      isRisky
        ? `${missed}: the voters that remain would have no majority.`
        : `${missed} to node ${cluster.node.id}. If the leader misses ${down.length === 1 ? 'it' : 'them'} as well, it refuses.`,
    )
  }
  return { effects, warnings, isImpossible: false, isRisky }
}

function learnerRemoval(id: number): RemovalEffects {
  const effects = [
    `Node ${id} gets nothing more. It refuses requests from then on, and can be stopped, or added again.`,
    'The voters stay as they are: nothing waits for it.',
  ]
  return { effects, warnings: [], isImpossible: false, isRisky: false }
}

export function effectsOfMoving(cluster: ClusterStatus, { id, raft, api }: MemberSpec, force: boolean): Effects {
  const present = cluster.nodes[id] ?? { raft: '', api: '' }
  const effects: string[] = []
  if (raft !== present.raft) {
    effects.push(
      `The members dial node ${id} at ${raft} instead of ${present.raft}. A connection that works is kept until it ends, or until the node answers there.`,
    )
  }
  if (api !== present.api) effects.push(`Clients are sent to ${api} instead of ${present.api}.`)
  effects.push(
    'The change is entered in the log. The node itself goes on listening where it does: start it with the same addresses, before or after.',
  )
  const others = Object.entries(cluster.nodes).filter(
    ([name, { reachable }]) => Number(name) !== id && reachable === false,
  )
  const warnings: string[] = []
  if (force) warnings.push('If another node answers there, the member is missed, as if it were down.')
  if (others.length > 0) {
    const down = others.map(([name]) => Number(name))
    warnings.push(
      `${capital(nodes(down))} ${down.length === 1 ? 'is' : 'are'} not connected. Move one member at a time.`,
    )
  }
  return { effects, warnings }
}

export function effectsOfTransfer(cluster: ClusterStatus, id: number): Effects {
  const { leader, nodes: members } = cluster
  const { reachable, lag, priority } = members[id] ?? { reachable: null, lag: null, priority: null }
  const highest = Math.max(...votersOf(cluster).map((voter) => members[voter]?.priority ?? 0))
  const warnings: string[] = []
  if (reachable === false) warnings.push(`Node ${id} is not connected: it cannot take over.`)
  if (lag !== null && lag > 1000)
    warnings.push(`Node ${id} is ${plural(lag, 'entry', 'entries')} behind, and has to get them first.`)
  if (priority !== null && priority < highest) {
    warnings.push(
      `Its priority is ${priority}, and another voter has ${highest}: leadership goes there by itself again.`,
    )
  }
  return {
    effects: [
      `${leader === null ? 'The leader' : `Node ${leader}`} takes no new writes until node ${id} has everything, and tells it to stand for election at once.`,
      'Writes wait for that, usually for less than a tenth of a second. None is lost, and clients need to know nothing of it.',
    ],
    warnings,
  }
}

export function effectsOfCampaigning({ node, leader }: ClusterStatus): Effects {
  return {
    effects: [
      `Node ${node.id} asks the other voters whether they would vote for it, and stands for election when a majority would.`,
      'When it wins, it leads.',
    ],
    warnings: leader === null ? [] : [`While node ${leader} is heard, this is refused: hand leadership over instead.`],
  }
}

export function effectsOfPurging({ node, applied, purged }: ClusterStatus): Effects {
  const [from, to] = [(purged?.index ?? -1) + 1, applied?.index ?? 0]
  return {
    effects: [
      `Node ${node.id} frees what it can of the entries ${count(from)} to ${count(to)} of its log, which its state covers. The data stays.`,
      'The node does the same by itself as its log grows, so this is of use only where disk space is needed now.',
    ],
    warnings: ['A member that is further behind than what is left has to be sent the whole state.'],
  }
}

export function effectsOfBackup({ node, leader }: ClusterStatus, isStale: boolean): Effects {
  return {
    effects: [
      `Node ${node.id} sends one consistent state: keys, history, leases, locks and settings. The cluster goes on working meanwhile.`,
      isStale
        ? 'The backup has what this node has applied by now.'
        : 'The backup has everything that was acknowledged before it began.',
      'The browser keeps the file. Check it with `quorate backup verify`: only that tells that it is whole.',
    ],
    warnings:
      leader === null && !isStale ? ['There is no leader: only a backup of what this node has is possible.'] : [],
  }
}

function voterEffects(before: readonly number[], after: readonly number[]): readonly string[] {
  const majority = Math.floor(after.length / 2) + 1
  const [had, has] = [toleranceOf(before), toleranceOf(after)]
  const may = has === had ? `still ${has}` : `${has} instead of ${had}`
  return [
    `The voters change from ${list(before)} to ${list(after)}. While that goes on, each change needs a majority of both.`,
    `Afterwards each change needs ${majority} of ${after.length} voters, and ${may} may be down at once.`,
  ]
}
