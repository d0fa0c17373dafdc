import type { FormationDecision, FormationRules, FormationView, NodeFacts, Pledge } from '../../ports/automation.ts'
import { nameNodes } from './reasons.ts'

/**
 * The decision of a node that has pledged itself to a cluster; null for a node that has not (raft.md 3).
 *
 * It forms that cluster once every member has given the same pledge in the same round. It takes its own pledge back only when a member
 * shows that it will never give this pledge.
 */
export function decidePledged(
  rules: FormationRules,
  { self, metCluster }: FormationView,
  ours: readonly NodeFacts[],
  seen: number,
): FormationDecision | null {
  const { pledge, round, agreed } = self
  if (pledge === null) return null
  const members = pledge.members.map(({ id }) => id)
  const cluster = `cluster ${pledge.clusterId} of ${nameNodes(members)}`
  const denied = ours.filter((node) => isDenied(rules, pledge, round, node)).map(({ id }) => id)
  if (denied.length > 0) {
    const reason = `${nameNodes(denied, ['has', 'have'])} agreed to another cluster, so ${cluster} will not be formed`
    return { kind: 'withdraw', reason, seen, proposal: null }
  }
  const removed = ours.find((node) => hasGoneOn(pledge, node) && !node.members.includes(self.id))
  if (removed !== undefined) {
    const reason = `${cluster} no longer lists this node, as node ${removed.id} says: this node asks to join it`
    return { kind: 'join', reason, seen, proposal: null }
  }
  const wait = (reason: string): FormationDecision => ({ kind: 'wait', reason, seen, proposal: pledge })
  const isBegun = ours.some(({ clusterId }) => clusterId === pledge.clusterId)
  if (metCluster !== null && metCluster !== pledge.clusterId && !isBegun) {
    return wait(
      `this node agreed to form ${cluster}, and has met cluster ${metCluster} since: form the first by hand, or empty the data ` +
        'directories of its members, so that they join the second',
    )
  }
  const missing = isBegun ? [] : members.filter((id) => id !== self.id && !agreed.has(id))
  if (missing.length === 0)
    return { kind: 'form', reason: `all members of ${cluster} have agreed to form it`, seen, proposal: pledge }
  return wait(
    `this node agreed to form ${cluster}, and waits to hear that ${nameNodes(missing, ['has', 'have'])} agreed: ` +
      `start ${missing.length === 1 ? 'it, with or without its' : 'them, with or without their'} data`,
  )
}

/**
 * The pledge that this node gives because another member has given it: the one of the latest round. Null when there is none, or none of
 * use.
 */
export function pledgeToShare(
  rules: FormationRules,
  self: FormationView['self'],
  ours: readonly NodeFacts[],
): { readonly proposal: Pledge; readonly round: number; readonly by: number } | null {
  const found = ours.flatMap(({ id, clusterId, candidacy }) => {
    const { pledge = null, round = 0 } = candidacy ?? {}
    if (pledge === null || round <= self.round || (clusterId !== null && clusterId !== pledge.clusterId)) return []
    const { members } = pledge
    if (members.length !== rules.expected || !members.some((member) => member.id === self.id)) return []
    if (self.clusterId !== null && self.clusterId !== pledge.clusterId) return []
    if (rules.clusterIdOf(members) !== pledge.clusterId) return []
    if (ours.some((node) => isDenied(rules, pledge, round, node))) return []
    return [{ proposal: pledge, round, by: id }]
  })
  const [first] = found.sort((a, b) => b.round - a.round || compare(a.proposal, b.proposal))
  return first ?? null
}

/** Whether `node` is a member that has not given this pledge in this round and never will: it has gone on to another pledge or cluster. */
function isDenied(rules: FormationRules, pledge: Pledge, round: number, node: NodeFacts): boolean {
  if (!pledge.members.some(({ id }) => id === node.id) || node.clusterId === pledge.clusterId) return false
  if (node.clusterId !== null && node.hadLeader) return rules.carriesToken(node.clusterId)
  if (node.candidacy === null) return false
  const { round: theirs, pledge: other } = node.candidacy
  return theirs > round || (theirs === round && other?.clusterId !== pledge.clusterId)
}

function hasGoneOn({ clusterId }: Pledge, node: NodeFacts): boolean {
  return node.clusterId === clusterId && node.hadLeader && node.hasLog
}

function compare(a: Pledge, b: Pledge): number {
  return a.clusterId < b.clusterId ? -1 : a.clusterId > b.clusterId ? 1 : 0
}
