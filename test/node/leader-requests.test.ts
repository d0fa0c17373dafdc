import t from 'tap'
import { leaderRequests } from '../../src/node/requests/leader-requests.ts'

const id = 2_147_483_647
const addresses = { raft: 'a:1', api: 'http://a:2' }
const membership = { configs: [[1], [1, 2]], learners: [3], nodes: { 1: addresses, __proto: addresses } }
const status = {
  id: 3,
  ...addresses,
  role: 'learner',
  priority: null,
  reachable: true,
  matched: -1,
  lag: 9,
  lastContactMs: 0.5,
  phase: 'snapshot',
  remainingMs: null,
  snapshot: {
    state: 'sending',
    attempt: 1,
    bytesSent: 0,
    bytesEstimate: 1,
    percent: 0,
    rowsSent: 0,
    remainingMs: null,
    lastFailure: null,
  },
  caughtUp: false,
}

t.test('bodies of requests to the leader: what is right is read, anything else is not', async (t) => {
  const { changeVoters, addLearner, removeLearner, setAddresses, learners, transfer, join } = leaderRequests
  const change = { voters: [1, id], retain: true, allowLagging: false, force: false, ifMembershipAt: null }
  const member = { id: 4, ...addresses }
  const right: [{ body: (json: unknown) => object | null }, unknown][] = [
    [changeVoters, change],
    [changeVoters, { ...change, voters: { add: [], remove: [2] }, ifMembershipAt: 0 }],
    [addLearner, { member, wait: true }],
    [removeLearner, 1],
    [setAddresses, { member, force: false, ifMembershipAt: 2 ** 48 }],
    [learners, null],
    [transfer, null],
    [transfer, id],
    [join, { raft: 'a:1' }],
  ]
  for (const [request, json] of right) t.same(request.body(json), { value: json })
  const wrong: [{ body: (json: unknown) => object | null }, unknown][] = [
    [changeVoters, null],
    [changeVoters, [change]],
    [changeVoters, { ...change, voters: [0] }],
    [changeVoters, { ...change, voters: { add: [1] } }],
    [changeVoters, { ...change, voters: Array.from({ length: 1_025 }, () => 1) }],
    [changeVoters, { ...change, retain: 1 }],
    [changeVoters, { ...change, ifMembershipAt: 2 ** 48 + 1 }],
    [changeVoters, { ...change, ifMembershipAt: 0.5 }],
    [addLearner, { member: { id: 4 }, wait: true }],
    [addLearner, { member: { ...member, raft: '' }, wait: true }],
    [addLearner, { member: { ...member, raft: 'x'.repeat(513) }, wait: true }],
    [removeLearner, 0],
    [removeLearner, id + 1],
    [removeLearner, '1'],
    [learners, {}],
    [transfer, 'x'],
    [join, { raft: null }],
  ]
  for (const [request, json] of wrong) t.equal(request.body(json), null, JSON.stringify(json)?.slice(0, 80))
})

t.test('answers of the leader: members of a later version are left out, anything wrong is not an answer', async (t) => {
  const { changeVoters, addLearner, learners, transfer } = leaderRequests
  const logId = { term: 1, node: 1, index: 0 }
  const answer = { membership, logId, committed: true, joint: true }
  t.same(changeVoters.answer({ ...answer, later: 1 }), { value: answer })
  t.same(changeVoters.answer({ ...answer, logId: null }), { value: { ...answer, logId: null } })
  t.equal(changeVoters.answer({ ...answer, joint: 'yes' }), null)
  t.equal(changeVoters.answer({ ...answer, membership: { ...membership, nodes: { 1: 'a:1' } } }), null)
  t.equal(changeVoters.answer({ ...answer, membership: { ...membership, nodes: [] } }), null)
  t.equal(changeVoters.answer({ ...answer, membership: { ...membership, configs: [['1']] } }), null)
  t.ok(addLearner.answer({ logId, membership, lag: 0, caughtUp: false }))
  t.equal(addLearner.answer({ logId, membership, lag: -1, caughtUp: false }), null)
  t.same(learners.answer([status]), { value: [status] })
  t.equal(learners.answer([{ ...status, role: 'leader' }]), null)
  t.equal(learners.answer([{ ...status, matched: -2 }]), null)
  t.equal(learners.answer(status), null)
  t.same(transfer.answer({ leader: 2 }), { value: { leader: 2 } })
  t.equal(transfer.answer({ leader: null }), null)
  const hostile: unknown = JSON.parse('{"__proto__": {"raft": "a:1", "api": "b"}}')
  const read = changeVoters.answer({ ...answer, membership: { ...membership, nodes: hostile } })
  t.same(Object.keys(read?.value.membership.nodes ?? {}), ['__proto__'], 'a name like any other')
})
