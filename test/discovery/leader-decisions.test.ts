import t from 'tap'
import { decideAutopilot } from '../../src/node/automation/autopilot-decision.ts'
import { decideJoining } from '../../src/node/automation/joining-decision.ts'
import type {
  AutopilotRules,
  JoiningRules,
  MemberFacts,
  MembershipFacts,
  NodeEndpoints,
} from '../../src/ports/automation.ts'

const minute = 60_000

const self = (id: number): MemberFacts => ({ id, self: true, live: true, silentMs: 0, stableMs: 0 })
const live = (id: number): MemberFacts => ({ id, self: false, live: true, silentMs: 40, stableMs: null })
const steady = (id: number, stableMs = minute): MemberFacts => ({ ...live(id), stableMs })
const silent = (id: number, silentMs: number): MemberFacts => ({ ...live(id), live: false, silentMs })
const dead = (id: number): MemberFacts => silent(id, 5 * minute)
const endpointsOf = (id: number): NodeEndpoints => ({ id, raft: `10.0.0.${id}:7101`, api: `http://10.0.0.${id}:7001` })

function factsOf(
  voters: readonly MemberFacts[],
  learners: readonly MemberFacts[] = [],
  changes: Partial<MembershipFacts> = {},
): MembershipFacts {
  return { leading: true, ledMs: 60 * minute, settled: true, voters, learners, joinable: [], moved: [], ...changes }
}

t.test('joining: one decision for each situation', async (t) => {
  const usual: JoiningRules = { autoJoin: true, votersTarget: 3, stabilizationMs: 2_000, membersMax: 64 }
  const three = [self(1), live(2), live(3)]
  const rows: [name: string, facts: MembershipFacts, decision: object, rules?: Partial<JoiningRules>][] = [
    ['off, it does nothing', factsOf(three, [], { joinable: [endpointsOf(4)] }), { kind: 'none' }, { autoJoin: false }],
    ['a follower does nothing', factsOf(three, [], { leading: false, joinable: [endpointsOf(4)] }), { kind: 'none' }],
    [
      'while a change is in progress it waits',
      factsOf(three, [], { settled: false, joinable: [endpointsOf(4)] }),
      { kind: 'none', reason: 'a membership change is in progress' },
    ],
    ['without anybody to take in it does nothing', factsOf(three), { kind: 'none', reason: 'no node asks to join' }],
    [
      'a node that asks to join becomes a learner',
      factsOf(three, [], { joinable: [endpointsOf(4)] }),
      { kind: 'add-learner', member: endpointsOf(4), reason: 'node 4 at 10.0.0.4:7101 asks to join' },
    ],
    [
      'of several the one with the lowest id goes first',
      factsOf(three, [], { joinable: [endpointsOf(9), endpointsOf(5)] }),
      { kind: 'add-learner', member: endpointsOf(5) },
    ],
    [
      'a member does not join again',
      factsOf(three, [live(4)], { joinable: [endpointsOf(2), endpointsOf(4)] }),
      { kind: 'none' },
    ],
    [
      'a full cluster takes nobody in',
      factsOf(three, [live(4)], { joinable: [endpointsOf(5)] }),
      { kind: 'none', reason: 'node 5 asks to join, but the cluster is full' },
      { membersMax: 4 },
    ],
    ['with enough voters a learner stays one', factsOf(three, [steady(4)]), { kind: 'none' }],
    [
      'with too few voters a learner that keeps up is promoted',
      factsOf([self(1), live(2)], [steady(4)]),
      { kind: 'promote', id: 4, reason: 'node 4 keeps up, and the cluster has 2 of 3 voters' },
    ],
    ['one that has kept up for too short a time is not', factsOf([self(1)], [steady(4, 1_999)]), { kind: 'none' }],
    ['but exactly long enough is enough', factsOf([self(1)], [steady(4, 2_000)]), { kind: 'promote', id: 4 }],
    ['one that does not keep up is not', factsOf([self(1)], [live(4)]), { kind: 'none' }],
    [
      'one that is behind does not hold up the next',
      factsOf([self(1)], [live(4), steady(5)]),
      { kind: 'promote', id: 5 },
    ],
    [
      'promotion goes before taking in',
      factsOf([self(1)], [steady(4)], { joinable: [endpointsOf(5)] }),
      { kind: 'promote', id: 4 },
    ],
    [
      'more voters than the target are left alone, and it says why a learner gets no vote',
      factsOf([...three, live(4), live(5)], [steady(6)]),
      {
        kind: 'none',
        reason: 'node 6 keeps up, but stays a learner: the cluster has 5 voters, and --voters-target is 3',
      },
    ],
  ]
  for (const [name, facts, decision, rules] of rows)
    t.match(decideJoining({ ...usual, ...rules }, facts), decision, name)
})

t.test('autopilot: one decision for each situation', async (t) => {
  const usual: AutopilotRules = { mode: 'on', deadNodeAfterMs: 5 * minute, minVoters: 3, stabilizationMs: 2_000 }
  const oneDead = [self(1), live(2), dead(3)]
  const rows: [name: string, facts: MembershipFacts, decision: object, rules?: Partial<AutopilotRules>][] = [
    [
      'off, it does nothing',
      factsOf(oneDead, [steady(4)]),
      { kind: 'none', reason: 'the autopilot is off' },
      { mode: 'off' },
    ],
    ['a follower does nothing', factsOf(oneDead, [steady(4)], { leading: false }), { kind: 'none' }],
    ['while a change is in progress it waits', factsOf(oneDead, [steady(4)], { settled: false }), { kind: 'none' }],
    [
      'a leader that has just begun waits',
      factsOf(oneDead, [steady(4)], { ledMs: 5 * minute - 1 }),
      { kind: 'none', reason: 'this node has not led for long enough to tell which members are dead' },
    ],
    ['with everybody there it does nothing', factsOf([self(1), live(2), live(3)], [steady(4)]), { kind: 'none' }],
    [
      'a voter that is silent for a shorter time is left alone',
      factsOf([self(1), live(2), silent(3, 5 * minute - 1)], [steady(4)]),
      { kind: 'none', reason: 'no member has been silent for too long' },
    ],
    [
      'a dead voter gives its place to a learner that keeps up',
      factsOf(oneDead, [steady(4)]),
      { kind: 'replace-voter', id: 3, by: 4, reason: 'voter 3 has been silent for too long, and node 4 keeps up' },
    ],
    [
      'a dry run decides the same',
      factsOf(oneDead, [steady(4)]),
      { kind: 'replace-voter', id: 3, by: 4 },
      { mode: 'dry-run' },
    ],
    [
      'not to a learner that is behind, or has kept up for too short a time, or is silent itself',
      factsOf(oneDead, [live(4), steady(5, 1_999), silent(6, minute)]),
      { kind: 'none', reason: /but no learner can take its place, and at least 3 voters must remain/ },
    ],
    ['to the lowest of several', factsOf(oneDead, [steady(7), steady(5)]), { kind: 'replace-voter', by: 5 }],
    [
      'of three voters the dead one stays when there is no learner',
      factsOf(oneDead),
      {
        kind: 'none',
        reason:
          'voter 3 has been silent for too long, but no learner can take its place, and at least 3 voters must remain',
      },
    ],
    ['unless fewer voters are allowed', factsOf(oneDead), { kind: 'remove-voter', id: 3 }, { minVoters: 2 }],
    [
      'of five voters the dead one is removed',
      factsOf([self(1), live(2), live(3), live(4), dead(5)]),
      { kind: 'remove-voter', id: 5, reason: 'voter 5 has been silent for too long, and 4 voters remain' },
    ],
    [
      'of five with two dead, one goes at a time, the lowest id first',
      factsOf([self(1), live(2), live(3), dead(5), dead(4)]),
      { kind: 'remove-voter', id: 4 },
    ],
    [
      'without a live majority nothing is changed, even with learners',
      factsOf([self(1), dead(2), dead(3)], [steady(4), steady(5)]),
      { kind: 'none', reason: /no majority of the voters is alive: nothing is changed/ },
    ],
    [
      'voters that are silent, dead or not, do not count as alive',
      factsOf([self(1), live(2), silent(3, 1_000), silent(4, 1_000), dead(5)], [steady(6)]),
      { kind: 'none', reason: /no majority/ },
    ],
    [
      'a voter is not removed when the rest would have no live majority',
      factsOf([self(1), live(2), live(3), silent(4, 1_000), silent(5, 1_000), dead(6)]),
      { kind: 'none', reason: /no majority/ },
    ],
    ['of two voters the dead one cannot be replaced', factsOf([self(1), dead(2)], [steady(3)]), { kind: 'none' }],
    ['a dead learner is removed', factsOf([self(1), live(2), live(3)], [dead(4)]), { kind: 'remove-learner', id: 4 }],
    ['a silent learner is not', factsOf([self(1), live(2), live(3)], [silent(4, minute)]), { kind: 'none' }],
    [
      'a dead voter goes before a dead learner',
      factsOf(oneDead, [dead(4), steady(5)]),
      { kind: 'replace-voter', id: 3 },
    ],
    [
      'a dead voter that has to stay does not keep a dead learner in',
      factsOf(oneDead, [live(4), dead(5)]),
      { kind: 'remove-learner', id: 5, reason: 'learner 5 has been silent for too long' },
    ],
    [
      'without a live majority a dead learner stays, and the voter is the reason',
      factsOf([self(1), dead(2), dead(3)], [dead(4)]),
      { kind: 'none', reason: /^voter 2 .* no majority/ },
    ],
    [
      'or the learner is, when no voter is dead yet',
      factsOf([self(1), silent(2, 1_000), silent(3, 1_000)], [dead(4)]),
      { kind: 'none', reason: /^learner 4 .* no majority/ },
    ],
    [
      'a leader that is no voter any more is not dead',
      factsOf([live(2), live(3), live(4)], [self(1)]),
      { kind: 'none', reason: 'no member has been silent for too long' },
    ],
  ]
  for (const [name, facts, decision, rules] of rows)
    t.match(decideAutopilot({ ...usual, ...rules }, facts), decision, name)
})

t.test(
  'autopilot: whatever it sees, a majority of the voters that it leaves is alive, and it changes one at most',
  async (t) => {
    const rules: AutopilotRules = { mode: 'on', deadNodeAfterMs: 5 * minute, minVoters: 3, stabilizationMs: 2_000 }
    const kinds = [live, (id: number) => silent(id, 1_000), dead, steady]
    let changes = 0
    for (let size = 1; size <= 6; size++) {
      for (let code = 0; code < 4 ** size; code++) {
        for (let voterCount = 0; voterCount <= size; voterCount++) {
          const others = Array.from({ length: size }, (_, at) =>
            (kinds[Math.floor(code / 4 ** at) % 4] ?? live)(at + 2),
          )
          const voters = [self(1), ...others.slice(0, voterCount)]
          const learners = others.slice(voterCount)
          const decision = decideAutopilot(rules, factsOf(voters, learners))
          const isStuck = voters.filter((one) => one.live).length <= voters.length / 2
          if (isStuck && decision.kind !== 'none')
            t.fail(`${JSON.stringify(decision)} of ${JSON.stringify({ voters })}`)
          if (decision.kind === 'none' || decision.kind === 'remove-learner') continue
          changes += 1
          const spare = decision.kind === 'replace-voter' ? learners.filter(({ id }) => id === decision.by) : []
          const after = [...voters.filter(({ id }) => id !== decision.id), ...spare]
          const alive = after.filter((one) => one.live).length
          const aliveBefore = voters.filter((one) => one.live).length
          const isSafe =
            alive > after.length / 2 && aliveBefore > voters.length / 2 && voters.some(({ id }) => id === decision.id)
          const isEnough = decision.kind === 'replace-voter' ? spare.length === 1 : after.length >= rules.minVoters
          if (!isSafe || !isEnough) t.fail(`${JSON.stringify(decision)} of ${JSON.stringify({ voters, learners })}`)
        }
      }
    }
    t.ok(changes > 1_000, `${changes} changes, each of them safe`)
  },
)
