import { assert } from '../lib/assert.ts'
import { checkMembership } from './membership.ts'
import type { Effects } from './effects.ts'
import type { RaftView } from './options.ts'
import type { Raft } from './raft.ts'
import { compareLeaderIds, compareVotes, indexOf, sameLeaderId, sameLogId } from './types.ts'

/** Checks facts about one node's state between two inputs. Throws InvariantError. For tests and simulation: O(size of the core). */
export function checkState(raft: Raft): void {
  checkLog(raft)
  checkMemberships(raft)
  checkLeadership(raft)
}

/** Checks facts about two successive states of one process. */
export function checkStep(before: RaftView, after: RaftView): void {
  assert(compareVotes(after.vote, before.vote) >= 0, 'a vote never goes back')
  assert(after.committed >= before.committed, 'the commit index never goes back')
  assert(after.applied >= before.applied, 'the applied index never goes back')
  assert(indexOf(after.purged) >= indexOf(before.purged), 'the purge mark never goes back')
  assert(indexOf(after.last) >= before.committed, 'committed entries stay')
  assert(
    indexOf(after.committedMembership.logId) >= indexOf(before.committedMembership.logId),
    'the committed membership never goes back',
  )
  const sameBallot = sameLeaderId(after.vote.leaderId, before.vote.leaderId)
  if (before.state === 'leader' && after.state === 'leader' && sameBallot) {
    assert(indexOf(after.last) >= indexOf(before.last), 'a leader only appends to its log (thesis 3.5)')
    assert((after.quorumAckedAt ?? -1) >= (before.quorumAckedAt ?? -1), 'the acknowledged time never goes back')
  }
  assert(
    !(sameBallot && before.state !== 'leader' && after.state === 'leader' && before.vote.committed),
    'leadership is not resumed',
  )
  if (after.recovering) assert(before.recovering, 'recovery ends once')
}

/**
 * Checks that `takeEffects` gives nothing when it is called a second time at once. A message that is sent whenever effects are taken,
 * merely because sending it changes nothing, grows into a storm: the answer to it is an input, after which effects are taken again.
 */
export function checkSilence({ writes, sends, held, snapshots, reads, events }: Effects): void {
  const all = [writes, sends, held, snapshots, reads, events]
  assert(
    all.every(({ length }) => length === 0),
    'what was said is not said again',
  )
}

function checkLog(raft: Raft): void {
  const { state } = raft.inspect()
  const { log, committed, applied, stateDurable, vote, outbox } = state
  assert(log.purgedIndex <= stateDurable, 'what is purged is in the durable state')
  assert(stateDurable <= applied, 'what is durable in the state was applied')
  assert(applied <= committed, 'what is applied was committed')
  assert(committed <= log.lastIndex, 'what is committed is in the log')
  assert(state.consistent <= log.lastIndex, 'what agrees with the leader is in the log')
  assert(outbox.durability.index <= log.lastIndex, 'what is durable is in the log')
  assert(log.sizes.last === log.lastIndex, 'sizes cover the log')
  assert(log.last === null || compareLeaderIds(log.last.leaderId, vote.leaderId) <= 0, 'no entry is above the vote')
  let before = log.purged?.leaderId ?? null
  let next = log.purgedIndex + 1
  for (const run of log.leaders.all) {
    assert(run.first >= next && (next !== log.purgedIndex + 1 || run.first === next), 'runs ascend from the purge mark')
    assert(before === null || compareLeaderIds(before, run.leaderId) <= 0, 'ballots ascend along the log')
    before = run.leaderId
    next = run.first + 1
  }
  assert(next - 1 <= log.lastIndex, 'runs end within the log')
}

function checkMemberships(raft: Raft): void {
  const { state } = raft.inspect()
  const { memberships, committed, log } = state
  let before = -2
  for (const { logId, membership } of memberships.all) {
    const index = indexOf(logId)
    assert(index > before, 'memberships ascend')
    assert(index <= log.lastIndex, 'a membership is in the log')
    if (logId !== null) {
      checkMembership(membership)
      const known = log.logIdAt(index)
      assert(known === null || sameLogId(known, logId), 'a membership belongs to its entry')
    }
    before = index
  }
  assert(indexOf(memberships.committed.logId) <= committed, 'the committed membership is committed')
  const second = memberships.all[1]
  assert(
    second === undefined || indexOf(second.logId) > committed,
    'only one membership is at or below the commit index',
  )
}

function checkLeadership(raft: Raft): void {
  const { state, leadership } = raft.inspect()
  if (leadership === null) return
  const { options, log, vote, memberships } = state
  assert(vote.committed && sameLeaderId(vote.leaderId, leadership.vote.leaderId), 'a leader leads under its own vote')
  assert(vote.leaderId.nodeId === state.id, 'a leader won its ballot itself')
  const uncommitted = memberships.all
    .slice(1)
    .filter(({ logId }) => logId !== null && sameLeaderId(logId.leaderId, vote.leaderId))
  assert(uncommitted.length <= 1, 'a leader has at most one uncommitted membership of its own')
  if (leadership.established)
    assert(memberships.all.length <= 2, 'an established leader has at most one uncommitted membership')
  for (const progress of leadership.replication.all) {
    const { matched, next, mode, flightCount } = progress
    assert(matched < next && next <= log.lastIndex + 1, 'matched is below next, next within or after the log')
    assert(matched <= log.lastIndex, 'a follower holds no more than its leader')
    assert(flightCount <= options.inflightAppendsMax, 'the window bounds messages on their way')
    assert(mode === 'replicate' || flightCount === 0, 'only a replicating follower has messages ahead')
    const named = state.membership.nodes.has(progress.id)
    assert(named === (progress.leaving === null), 'a follower that is not a member is leaving')
  }
  for (const id of state.membership.nodes.keys()) {
    assert(id === state.id || leadership.replication.progressOf(id) !== null, 'every member is replicated to')
  }
}
