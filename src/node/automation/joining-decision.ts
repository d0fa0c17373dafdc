import type { JoiningDecision, JoiningRules, MembershipFacts } from '../../ports/automation.ts'

/** What the leader does about members that have moved, learners that could vote, and nodes that want to join: one change at a time. */
export function decideJoining(rules: JoiningRules, facts: MembershipFacts): JoiningDecision {
  const { voters, learners, joinable } = facts
  const none = (reason: string): JoiningDecision => ({ kind: 'none', reason })
  if (!rules.autoJoin) return none('automatic joining is off')
  if (!facts.leading) return none('this node does not lead')
  if (!facts.settled) return none('a membership change is in progress')
  const members = [...voters, ...learners]
  const moved = facts.moved.filter(({ id }) => members.some((member) => member.id === id)).sort((a, b) => a.id - b.id)
  if (moved.length > 0) {
    const addresses = moved.map(({ id, raft }) => `node ${id} is now at ${raft}`).join(', ')
    return { kind: 'move', members: moved, reason: `${addresses}: the membership must list it there` }
  }
  const ready = learners.find(({ stableMs }) => stableMs !== null && stableMs >= rules.stabilizationMs)
  if (ready !== undefined && voters.length < rules.votersTarget) {
    const reason = `node ${ready.id} keeps up, and the cluster has ${voters.length} of ${rules.votersTarget} voters`
    return { kind: 'promote', id: ready.id, reason }
  }
  const [member] = joinable.filter(({ id }) => !members.some((one) => one.id === id)).sort((a, b) => a.id - b.id)
  if (member === undefined && ready !== undefined) {
    const many = `the cluster has ${voters.length} ${voters.length === 1 ? 'voter' : 'voters'}, and --voters-target is ${rules.votersTarget}`
    return none(`node ${ready.id} keeps up, but stays a learner: ${many}`)
  }
  if (member === undefined) return none('no node asks to join')
  if (members.length >= rules.membersMax) return none(`node ${member.id} asks to join, but the cluster is full`)
  return { kind: 'add-learner', member, reason: `node ${member.id} at ${member.raft} asks to join` }
}
