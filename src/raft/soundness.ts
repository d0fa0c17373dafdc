import type { RaftState } from './state.ts'
import type { SnapshotOffer } from './follower.ts'
import type {
  AppendRequest,
  AppendResponse,
  PreVoteRequest,
  PreVoteResponse,
  RaftMessage,
  TransferRequest,
  VoteRequest,
  VoteResponse,
} from './message.ts'
import type { Raft } from './raft.ts'
import {
  compareLeaderIds,
  compareVotes,
  indexOf,
  logIndex,
  sameLeaderId,
  type LeaderId,
  type LogId,
  type LogIndex,
  type Vote,
} from './types.ts'

/*
 * Finds what no sound member can say, whatever was lost, repeated or delayed. A message that comes too late, or from another ballot, is no
 * contradiction: the core ignores it. A message that contradicts is not handed to the core at all, because the core's assertions take for
 * granted that members keep the protocol. These checks pass every message of a correct peer; the simulator verifies that.
 */

/** Why `message` cannot come from a sound member; null when nothing speaks against it. Changes nothing. */
export function contradictionIn(raft: Raft, message: RaftMessage): string | null {
  const { state } = raft.inspect()
  if (message.from === state.id) return 'a message under the id of the node that it came to'
  switch (message.type) {
    case 'pre-vote-request':
    case 'vote-request':
    case 'transfer-request':
      return ofBallot(message)
    case 'pre-vote-response':
    case 'vote-response':
      return ofBallotAnswer(state, message)
    case 'append-request':
      return brokenAppend(message) ?? ofAppend(state, message)
    case 'append-response':
      return ofAcknowledgement(raft, message)
  }
}

/** The same for a snapshot that a leader offers. Asked before it is read and again before it is installed. */
export function offerContradictionIn(raft: Raft, from: number, offer: SnapshotOffer): string | null {
  const { state } = raft.inspect()
  const { vote, logId } = offer
  if (!vote.committed || vote.leaderId.nodeId !== from) return 'not from the owner of the vote'
  if (compareLeaderIds(logId.leaderId, vote.leaderId) > 0) return 'a state above the vote'
  // Every state that is sent was committed, whichever node leads by now.
  return differs(state, logId, state.committed) ? 'a state that contradicts what is committed' : null
}

/** What is wrong with the request in itself: only a broken sender could have written it. */
export function brokenAppend({ from, vote, prev, batches }: AppendRequest): string | null {
  if (!vote.committed || vote.leaderId.nodeId !== from) return 'not from the owner of the vote'
  let last = indexOf(prev)
  let leaderId = prev?.leaderId
  for (const batch of batches) {
    if (batch.first !== last + 1 || batch.last < batch.first) return 'a gap between entries'
    if (leaderId !== undefined && compareLeaderIds(leaderId, batch.leaderId) > 0) return 'ballots that do not ascend'
    last = batch.last
    leaderId = batch.leaderId
  }
  return leaderId !== undefined && compareLeaderIds(leaderId, vote.leaderId) > 0 ? 'an entry above the vote' : null
}

function ofBallot(message: PreVoteRequest | VoteRequest | TransferRequest): string | null {
  const { from, type, vote, last } = message
  if (vote.leaderId.nodeId !== from) return 'not from the owner of the vote'
  if (vote.committed !== (type === 'transfer-request')) return 'a ballot in the wrong state'
  return isAbove(last, vote.leaderId) ? 'a log above the vote' : null
}

function ofBallotAnswer(
  raft: RaftState,
  { type, asked, granted, vote }: PreVoteResponse | VoteResponse,
): string | null {
  if (asked.leaderId.nodeId !== raft.id) return 'an answer to a ballot of another node'
  if (!granted) return null
  const order = compareLeaderIds(vote.leaderId, asked.leaderId)
  return (type === 'vote-response' ? order === 0 : order < 0) ? null : 'a grant that the vote beside it contradicts'
}

/** Leaders hold everything that is committed, and never overwrite their own log (thesis 3.5, 3.6.3). */
function ofAppend(raft: RaftState, { vote, prev, batches }: AppendRequest): string | null {
  // An earlier leader may not know what has been committed since.
  if (compareVotes(vote, raft.vote) < 0) return null
  const settled = settledUnder(raft, vote)
  if (prev !== null && differs(raft, prev, settled)) return 'entries after one that contradicts what is settled'
  for (const { leaderId, first, last } of batches) {
    if (first > settled) break
    if (differs(raft, { leaderId, index: logIndex(Math.min(last, settled)) }, settled))
      return 'an entry that contradicts what is settled'
  }
  return null
}

/** Up to where this node's log is known to equal that of `vote`'s leader: committed, or taken from that leader itself. */
function settledUnder(raft: RaftState, vote: Vote): LogIndex {
  const isKnown = sameLeaderId(vote.leaderId, raft.vote.leaderId)
  return logIndex(isKnown ? Math.max(raft.committed, raft.consistent) : raft.committed)
}

/** Whether the log has another entry in the place of `logId`. Below the purge mark this is unknown. */
function differs(raft: RaftState, { leaderId, index }: LogId, upTo: LogIndex): boolean {
  if (index > upTo) return false
  const own = raft.log.leaderIdAt(index)
  return own !== null && !sameLeaderId(own, leaderId)
}

function ofAcknowledgement(raft: Raft, { from, vote, asked, session, outcome }: AppendResponse): string | null {
  const { state, leadership } = raft.inspect()
  if (asked.leaderId.nodeId !== state.id) return 'an answer to another leader'
  if (compareVotes(vote, asked) < 0) return 'an answer from below the ballot that it answers'
  if (leadership === null || outcome.kind !== 'matched' || outcome.matched <= state.log.lastIndex) return null
  const isCurrent = sameLeaderId(asked.leaderId, leadership.vote.leaderId)
  const isOurs = isCurrent && leadership.replication.progressOf(from)?.session === session
  return isOurs ? 'an acknowledgement of entries that were never sent' : null
}

function isAbove(last: LogId | null, leaderId: LeaderId): boolean {
  return last !== null && compareLeaderIds(last.leaderId, leaderId) > 0
}
