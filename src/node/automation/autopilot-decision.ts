import type { AutopilotDecision, AutopilotRules, MemberFacts, MembershipFacts } from '../../ports/automation.ts'

/**
 * What the leader does about members that are gone: one change at a time, and none that leaves fewer than a majority of the voters alive. A
 * dead voter is replaced by a learner that keeps up; it is removed without replacement only while enough voters remain.
 */
export function decideAutopilot(rules: AutopilotRules, facts: MembershipFacts): AutopilotDecision {
  const { voters, learners } = facts
  if (rules.mode === 'off') return none('the autopilot is off')
  if (!facts.leading) return none('this node does not lead')
  if (!facts.settled) return none('a membership change is in progress')
  // A leader that has only just begun to lead has not had the time to miss anybody.
  if (facts.ledMs < rules.deadNodeAfterMs)
    return none('this node has not led for long enough to tell which members are dead')
  const isDead = ({ self, live, silentMs }: MemberFacts): boolean => {
    return !self && !live && silentMs >= rules.deadNodeAfterMs
  }
  const dead = voters.filter(isDead).sort(byId)[0]
  const aboutVoter = dead === undefined ? null : decideDeadVoter(rules, facts, dead)
  if (aboutVoter !== null && aboutVoter.kind !== 'none') return aboutVoter
  // A dead voter that has to stay does not keep dead learners from being removed.
  const gone = learners.filter(isDead).sort(byId)[0]
  const aboutLearner = gone === undefined ? null : decideDeadLearner(facts, gone)
  if (aboutLearner !== null && aboutLearner.kind !== 'none') return aboutLearner
  return aboutVoter ?? aboutLearner ?? none('no member has been silent for too long')
}

function decideDeadVoter(rules: AutopilotRules, facts: MembershipFacts, dead: MemberFacts): AutopilotDecision {
  const { voters, learners } = facts
  const silent = `voter ${dead.id} has been silent for too long`
  if (!isQuorum(voters)) return none(`${silent}, but no majority of the voters is alive: nothing is changed`)
  const rest = voters.filter(({ id }) => id !== dead.id)
  const isReady = ({ live, stableMs }: MemberFacts): boolean => {
    return live && stableMs !== null && stableMs >= rules.stabilizationMs
  }
  const spare = learners.filter(isReady).sort(byId)[0]
  if (spare !== undefined && isQuorum([...rest, spare])) {
    return { kind: 'replace-voter', id: dead.id, by: spare.id, reason: `${silent}, and node ${spare.id} keeps up` }
  }
  if (rest.length < rules.minVoters) {
    return none(`${silent}, but no learner can take its place, and at least ${rules.minVoters} voters must remain`)
  }
  if (!isQuorum(rest)) return none(`${silent}, but without it no majority of the voters would be alive`)
  return { kind: 'remove-voter', id: dead.id, reason: `${silent}, and ${rest.length} voters remain` }
}

function decideDeadLearner({ voters }: MembershipFacts, dead: MemberFacts): AutopilotDecision {
  const silent = `learner ${dead.id} has been silent for too long`
  if (!isQuorum(voters)) return none(`${silent}, but no majority of the voters is alive: nothing is changed`)
  return { kind: 'remove-learner', id: dead.id, reason: silent }
}

function isQuorum(voters: readonly MemberFacts[]): boolean {
  return voters.filter(({ live }) => live).length > voters.length / 2
}

function byId(a: MemberFacts, b: MemberFacts): number {
  return a.id - b.id
}

function none(reason: string): AutopilotDecision {
  return { kind: 'none', reason }
}
