import type {
  FormationDecision,
  FormationRules,
  FormationView,
  NodeFacts,
  Place,
  Proposal,
} from '../ports/automation.ts'

/** How many nodes or addresses a reason names. */
const NAMED_MAX = 5

/**
 * What a node without a cluster of its own does about that (raft.md 3).
 *
 * A node forms a cluster only when all of its members are there, have no other cluster, and propose exactly the same members; and
 * it joins whatever cluster of its token it sees, or has seen since it started, rather than form one. So whoever forms, forms the same: the id of the cluster is
 * a hash of its members, and the first entry of a node is the same bytes on all of them.
 */
export function decideFormation(rules: FormationRules, view: FormationView): FormationDecision {
  const { self } = view
  const nodes = view.sightings.flatMap((sighting) => (sighting.kind === 'node' ? [sighting.node] : []))
  const ours = nodes.filter((node) => isOurs(rules, node))
  const seen = new Set([self.id, ...ours.map(({ id }) => id)]).size
  if (self.hasLog || self.initialized) {
    return { kind: 'resume', reason: `this node belongs to cluster ${self.clusterId}`, seen, proposal: null }
  }
  const conflict = conflictOf(view, nodes, ours)
  if (conflict !== null) return { kind: 'refuse', reason: conflict, seen, proposal: null }
  return joinOrRefuse(view, ours, seen) ?? formOrWait(rules, view, ours, seen)
}

/** Nodes of another token, and nodes that are led by hand, are none of this node's business. */
function isOurs(rules: FormationRules, { clusterId, candidacy }: NodeFacts): boolean {
  if (clusterId !== null) return rules.carriesToken(clusterId)
  return candidacy !== null && candidacy.token === rules.token
}

/** Why nothing can be decided before somebody has corrected something. */
function conflictOf({ self, sightings }: FormationView, nodes: readonly NodeFacts[], ours: readonly NodeFacts[]) {
  for (const sighting of sightings) {
    if (sighting.kind !== 'refused') continue
    const { code, address, detail } = sighting
    if (code === 'same-id' || code === 'wrong-incarnation') return `${address}: ${detail}`
  }
  for (const { id, incarnation, raft } of nodes) {
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
    const reason = `several clusters have this token: ${named.join(', ')}; stop all but one of them, or give them tokens of their own`
    return { kind: 'refuse', reason, seen, proposal: null }
  }
  if (self.clusterId !== null && self.clusterId !== clusterId) {
    const reason =
      `this node began to form cluster ${self.clusterId}, and the others have formed ${clusterId}: ` +
      'stop it, empty its data directory and start it again'
    return { kind: 'refuse', reason, seen, proposal: null }
  }
  const names = nameNodes(
    members.map(({ id }) => id),
    ['belongs', 'belong'],
  )
  if (metCluster !== null && metCluster !== clusterId) {
    const reason =
      `${names} to cluster ${clusterId}, which has had no leader, and this node has met cluster ${metCluster}: start members of that; ` +
      'if they are gone for good, start this node again'
    return { kind: 'wait', reason, seen, proposal: null }
  }
  const isListed = members.some((member) => member.members.includes(self.id))
  const reason = isListed
    ? `${names} to cluster ${clusterId}, of which this node is a member: its leader will call`
    : `${names} to cluster ${clusterId}: asks to join it`
  return { kind: 'join', reason, seen, proposal: null }
}

function formOrWait(
  rules: FormationRules,
  view: FormationView,
  ours: readonly NodeFacts[],
  seen: number,
): FormationDecision {
  const { self } = view
  const { expected } = rules
  const wait = (reason: string, proposal: Proposal | null = null): FormationDecision => {
    return { kind: 'wait', reason, seen, proposal }
  }
  const count = `${seen} of ${expected} expected nodes ${seen === 1 ? 'is' : 'are'} there`
  if (view.metCluster !== null) {
    const reason =
      `cluster ${view.metCluster} has this token, and none of its members is there at present: start them; ` +
      'if they are gone for good, start the nodes that are left again, and they form another'
    return wait(reason)
  }
  const found = count + (seen < expected ? missing(rules, view) : '')
  if (view.sinceStartMs < rules.delayMs) return wait(`lets the cluster formation delay pass; ${found}`)
  if (seen < expected) return wait(found)
  const members = [placeOf(self), ...ours.filter(({ id }) => id !== self.id).map(placeOf)]
    .filter(isFirstOfItsId)
    .sort((a, b) => a.id - b.id)
    .slice(0, expected)
  const names = nameNodes(members.map(({ id }) => id))
  if (!members.some(({ id }) => id === self.id)) {
    const forming = nameNodes(
      members.map(({ id }) => id),
      ['forms', 'form'],
    )
    return wait(`${forming} the cluster; this node joins it then`)
  }
  const proposal: Proposal = { clusterId: rules.clusterIdOf(members), members }
  const chosen = ours.filter(({ id }) => members.some((member) => member.id === id))
  const bound = [self, ...chosen].filter(({ clusterId }) => clusterId !== null && clusterId !== proposal.clusterId)
  if (bound.length > 0) {
    const which = nameNodes(bound.map(({ id }) => id))
    return wait(`${which} began to form another cluster, whose other members are not there: start them`)
  }
  const others = chosen.filter((node) => !agrees(node, proposal)).map(({ id }) => id)
  if (others.length > 0) {
    return wait(`${nameNodes(others, ['does', 'do'])} not propose the same cluster of ${names} yet`, proposal)
  }
  if (self.proposal !== proposal.clusterId) return wait(`proposes a cluster of ${names}`, proposal)
  return { kind: 'form', reason: `all members of a cluster of ${names} propose it`, seen, proposal }
}

function agrees({ clusterId, candidacy }: NodeFacts, proposal: Proposal): boolean {
  return clusterId === proposal.clusterId || candidacy?.proposal === proposal.clusterId
}

function placeOf({ id, raft, api }: Place): Place {
  return { id, raft, api }
}

/** One node may be found under several addresses. */
function isFirstOfItsId({ id }: Place, at: number, all: readonly Place[]): boolean {
  return all.findIndex((other) => other.id === id) === at
}

function missing(rules: FormationRules, { sightings, discoveryProblem }: FormationView): string {
  const silent = sightings.filter(({ kind }) => kind === 'unreachable').map(({ address }) => address)
  const refusing = sightings.filter(({ kind }) => kind === 'refused').map(({ address }) => address)
  const strange = sightings.flatMap((one) => (one.kind === 'node' && !isOurs(rules, one.node) ? [one.node.id] : []))
  const parts = [
    strange.length > 0 ? `${nameNodes(strange, ['has', 'have'])} another cluster token or no automatic formation` : '',
    silent.length > 0 ? `nobody answers at ${nameSome(silent)}` : '',
    refusing.length > 0 ? `refused at ${nameSome(refusing)}` : '',
    discoveryProblem ?? '',
  ].filter((part) => part !== '')
  return parts.length > 0 ? `; ${parts.join('; ')}` : ''
}

function nameSome(names: readonly string[]): string {
  const rest = names.length - NAMED_MAX
  return names.slice(0, NAMED_MAX).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}

/** `node 1`, `nodes 1, 2`; with a verb in both of its forms: `node 1 waits`, `nodes 1, 2 wait`. */
function nameNodes(ids: readonly number[], verbs?: readonly [one: string, several: string]): string {
  const distinct = [...new Set(ids)].sort((a, b) => a - b).map(String)
  const isOne = distinct.length === 1
  const verb = verbs === undefined ? '' : ` ${isOne ? verbs[0] : verbs[1]}`
  return `${isOne ? 'node' : 'nodes'} ${nameSome(distinct)}${verb}`
}
