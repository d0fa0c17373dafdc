import type {
  FormationDecision,
  FormationRules,
  FormationView,
  NodeFacts,
  NodeEndpoints,
  Pledge,
  Sighting,
} from '../../ports/automation.ts'
import { decidePledged, pledgeToShare } from './pledge-decision.ts'
import { nameNodes, nameSome } from './reasons.ts'

/**
 * What a node does while it has no cluster of its own (raft.md 3).
 *
 * A node pledges itself to a cluster only when all members of it are there, have no other cluster and propose exactly the same members, or
 * when another member has pledged itself already. It forms the cluster once all members have done so. It joins any cluster of its token
 * that it sees, or has ever seen, rather than pledge itself. So all nodes that form a cluster form the same one: the cluster's id is a hash
 * of its members, and the first entry has the same bytes on all nodes.
 */
export function decideFormation(rules: FormationRules, view: FormationView): FormationDecision {
  const { self } = view
  const nodes = view.sightings.flatMap((sighting) => (sighting.kind === 'node' ? [sighting.node] : []))
  const ours = nodes.filter((node) => isOurs(rules, node))
  const seen = new Set([self.id, ...ours.map(({ id }) => id)]).size
  if (self.hasLog || self.initialized) {
    const lost = lostItsCluster(self, ours)
    if (lost !== null) return { kind: 'refuse', reason: lost, seen, proposal: null }
    return { kind: 'resume', reason: `this node belongs to cluster ${self.clusterId}`, seen, proposal: null }
  }
  const near = nodes.filter((node) => !isForeign(rules, node))
  const conflict = conflictOf(view, near, ours)
  if (conflict !== null) return { kind: 'refuse', reason: conflict, seen, proposal: null }
  const pledged = decidePledged(rules, view, ours, seen)
  if (pledged !== null) return pledged
  return joinOrRefuse(view, ours, seen) ?? shareOrNot(rules, view, ours, seen) ?? proposeOrWait(rules, view, ours, seen)
}

/** Whether a node concerns this one: nodes with another token do not, nor do nodes whose clusters are formed by hand. */
function isOurs(rules: FormationRules, { clusterId, candidacy }: NodeFacts): boolean {
  if (clusterId !== null) return rules.carriesToken(clusterId)
  return candidacy !== null && candidacy.token === rules.token
}

/** Whether a node is of another cluster, or would only take part in one of another token. Its id and its addresses are its own business. */
function isForeign(rules: FormationRules, { clusterId, token }: NodeFacts): boolean {
  return clusterId !== null ? !rules.carriesToken(clusterId) : token !== null && token !== rules.token
}

/**
 * Why a node that has a cluster has to be emptied; null when it need not be. It has only voted there, nobody of that cluster is to be seen, and
 * another one has a leader.
 */
function lostItsCluster({ hasLog, clusterId }: FormationView['self'], ours: readonly NodeFacts[]): string | null {
  if (hasLog || ours.some((node) => node.clusterId === clusterId)) return null
  const other = ours.find(({ hadLeader }) => hadLeader)
  if (other === undefined) return null
  return (
    `this node voted in cluster ${clusterId} and holds nothing of it, but the others have formed cluster ${other.clusterId}: ` +
    'stop this node, empty its data directory and start it again'
  )
}

/** Why nothing can be decided until an operator has corrected something. */
function conflictOf({ self, sightings }: FormationView, near: readonly NodeFacts[], ours: readonly NodeFacts[]) {
  for (const sighting of sightings) {
    if (sighting.kind !== 'refused') continue
    const { code, address, detail } = sighting
    if (code === 'same-id' || code === 'wrong-incarnation') return `${address}: ${detail}`
  }
  for (const { id, incarnation, raft } of near) {
    if (id === self.id && incarnation !== self.incarnation)
      return `two nodes have the id ${id}, this one and the one at ${raft}: give each node an id of its own`
  }
  const all: readonly NodeFacts[] = ours
  for (const one of [self, ...all]) {
    for (const other of all) {
      if (one.id === other.id && one.incarnation !== other.incarnation) {
        return `two nodes have the id ${one.id}, at ${one.raft} and at ${other.raft}: give each node an id of its own`
      }
      if (one.id !== other.id && (one.raft === other.raft || one.api === other.api)) {
        const shared = one.raft === other.raft ? one.raft : one.api
        return `nodes ${one.id} and ${other.id} both advertise ${shared}: give each node addresses of its own`
      }
    }
  }
  return null
}

function joinOrRefuse(
  { self, metCluster }: FormationView,
  ours: readonly NodeFacts[],
  seen: number,
): FormationDecision | null {
  const members = ours.filter(({ hasLog }) => hasLog)
  const clusters = [...new Set(members.flatMap(({ clusterId }) => clusterId ?? []))].sort()
  const [clusterId] = clusters
  if (clusterId === undefined) return null
  if (clusters.length > 1) {
    const named = clusters.map((id) => {
      const nodes = members.filter((member) => member.clusterId === id).map((member) => member.id)
      return `${id} (${nameNodes(nodes)})`
    })
    const reason = `several clusters have this token: ${named.join(', ')}; stop all but one of them, or give each a token of its own`
    return { kind: 'refuse', reason, seen, proposal: null }
  }
  if (self.clusterId !== null && self.clusterId !== clusterId) {
    const reason =
      `this node began to form cluster ${self.clusterId}, but the others have formed cluster ${clusterId}: ` +
      'stop this node, empty its data directory and start it again'
    return { kind: 'refuse', reason, seen, proposal: null }
  }
  const names = nameNodes(
    members.map(({ id }) => id),
    ['belongs', 'belong'],
  )
  if (metCluster !== null && metCluster !== clusterId) {
    const reason =
      `${names} to cluster ${clusterId}, which has never had a leader, but this node has met cluster ${metCluster}, which had one: ` +
      'start its members; if they are gone for good, stop this node, empty its data directory and start it again'
    return { kind: 'wait', reason, seen, proposal: null }
  }
  const isListed = members.some((member) => member.members.includes(self.id))
  const reason = isListed
    ? `${names} to cluster ${clusterId}, of which this node is a member: it waits for the leader to call`
    : `${names} to cluster ${clusterId}: this node asks to join it`
  return { kind: 'join', reason, seen, proposal: null }
}

/** A list that others have pledged is formed with them, even before the delay is over, and whatever other nodes are there. */
function shareOrNot(
  rules: FormationRules,
  view: FormationView,
  ours: readonly NodeFacts[],
  seen: number,
): FormationDecision | null {
  if (view.metCluster !== null) return null
  const found = pledgeToShare(rules, view.self, ours)
  if (found === null) return null
  const { proposal, round, by } = found
  const names = nameNodes(proposal.members.map(({ id }) => id))
  const reason = `${nameNodes([by], ['has', 'have'])} agreed to form a cluster of ${names}: so does this node`
  return { kind: 'agree', reason, seen, proposal, round }
}

function proposeOrWait(
  rules: FormationRules,
  view: FormationView,
  ours: readonly NodeFacts[],
  seen: number,
): FormationDecision {
  const { self } = view
  const { expected } = rules
  const wait = (reason: string, proposal: Pledge | null = null): FormationDecision => {
    return { kind: 'wait', reason, seen, proposal }
  }
  const count = `${seen} of ${expected} expected nodes ${seen === 1 ? 'is' : 'are'} present`
  if (view.metCluster !== null) {
    const reason =
      `cluster ${view.metCluster} has this token, but none of its members is present: start them; ` +
      'if they are gone for good, empty the data directories of the remaining nodes, or give them another token, and they form a new cluster'
    return wait(reason)
  }
  const found = count + (seen < expected ? missing(rules, view) : '')
  if (view.sinceStartMs < rules.delayMs) return wait(`the cluster formation delay is not over yet; ${found}`)
  if (seen < expected) return wait(found)
  const members = [endpointsOf(self), ...ours.filter(({ id }) => id !== self.id).map(endpointsOf)]
    .filter(isFirstOfItsId)
    .sort((a, b) => a.id - b.id)
    .slice(0, expected)
  const names = nameNodes(members.map(({ id }) => id))
  if (!members.some(({ id }) => id === self.id)) {
    const forming = nameNodes(
      members.map(({ id }) => id),
      ['forms', 'form'],
    )
    return wait(`${forming} the cluster; this node joins it afterwards`)
  }
  const proposal: Pledge = { clusterId: rules.clusterIdOf(members), members }
  const chosen = ours.filter(({ id }) => members.some((member) => member.id === id))
  const bound = [self, ...chosen].filter(({ clusterId }) => clusterId !== null && clusterId !== proposal.clusterId)
  if (bound.length > 0) {
    const which = nameNodes(bound.map(({ id }) => id))
    return wait(`${which} began to form another cluster, whose other members are not present: start them`)
  }
  const elsewhere = chosen.filter(({ candidacy }) => candidacy !== null && candidacy.pledge !== null)
  if (elsewhere.length > 0) {
    const which = nameNodes(
      elsewhere.map(({ id }) => id),
      ['has', 'have'],
    )
    return wait(`${which} agreed to form another cluster, whose other members are not present: start them`)
  }
  const others = chosen.filter((node) => !agrees(node, proposal)).map(({ id }) => id)
  if (others.length > 0) {
    return wait(`${nameNodes(others, ['does', 'do'])} not propose the same cluster of ${names} yet`, proposal)
  }
  if (self.proposal !== proposal.clusterId) return wait(`this node proposes a cluster of ${names}`, proposal)
  return { kind: 'agree', reason: `all members of a cluster of ${names} propose it`, seen, proposal, round: null }
}

function agrees({ clusterId, candidacy }: NodeFacts, proposal: Pledge): boolean {
  return clusterId === proposal.clusterId || candidacy?.proposal === proposal.clusterId
}

function endpointsOf({ id, raft, api }: NodeEndpoints): NodeEndpoints {
  return { id, raft, api }
}

/** The same node may be found under several addresses; only the first one counts. */
function isFirstOfItsId({ id }: NodeEndpoints, at: number, all: readonly NodeEndpoints[]): boolean {
  return all.findIndex((other) => other.id === id) === at
}

function missing(rules: FormationRules, { sightings, discoveryProblem }: FormationView): string {
  const silent = sightings.filter(({ kind }) => kind === 'unreachable').map(({ address }) => address)
  const isOfOther = (one: Sighting): boolean => one.kind === 'refused' && one.code === 'wrong-cluster'
  const foreign = sightings.filter(isOfOther).map(({ address }) => address)
  const refusing = sightings.filter((one) => one.kind === 'refused' && !isOfOther(one)).map(({ address }) => address)
  const strange = sightings.flatMap((one) => (one.kind === 'node' && !isOurs(rules, one.node) ? [one.node.id] : []))
  const parts = [
    strange.length > 0 ? `${nameNodes(strange, ['has', 'have'])} another cluster token or no automatic formation` : '',
    foreign.length > 0 ? `another cluster or cluster token at ${nameSome(foreign)}` : '',
    silent.length > 0 ? `no node answers at ${nameSome(silent)}` : '',
    refusing.length > 0 ? `refused at ${nameSome(refusing)}` : '',
    discoveryProblem ?? '',
  ].filter((part) => part !== '')
  return parts.length > 0 ? `; ${parts.join('; ')}` : ''
}
