import { assert } from '../lib/assert.ts'
import type { RaftState } from './state.ts'
import { SENT_NEVER, type AppendResponse } from './message.ts'
import { Progress, type Window } from './progress.ts'
import { reachedByQuorum } from './quorum.ts'
import type { FollowerView, SnapshotReport } from './requests.ts'
import {
  BEFORE_FIRST,
  indexOf,
  logIndex,
  sameLeaderId,
  type LogId,
  type LogIndex,
  type NodeId,
  type Vote,
} from './types.ts'

/** A leader's sending side: brings every other node's log in line with its own, and counts acknowledgements (thesis 3.5, 10.2.1). */
export class Replication {
  private readonly raft: RaftState
  private readonly vote: Vote
  private readonly window: Window
  private readonly followers = new Map<NodeId, Progress>()
  private sessions = 0
  private lastHeartbeatAt: number
  /** The latest send time that a quorum, this node included, has acknowledged; -Infinity while there is none. Monotonic. */
  private ackedAt = -Infinity

  constructor(raft: RaftState, vote: Vote) {
    this.raft = raft
    this.vote = vote
    this.window = { appendsMax: raft.options.inflightAppendsMax, bytesMax: raft.options.inflightBytesMax }
    this.lastHeartbeatAt = raft.now
    this.followMembership()
  }

  get quorumAckedAt(): number {
    return this.ackedAt
  }

  get heartbeatAt(): number {
    return this.lastHeartbeatAt + this.raft.options.heartbeatMs
  }

  progressOf(id: NodeId): Progress | null {
    return this.followers.get(id) ?? null
  }

  private follower(id: NodeId): Progress {
    const progress = this.followers.get(id)
    assert(progress !== undefined, 'every other member is replicated to')
    return progress
  }

  /** Begins replication to nodes that the effective membership names, and the farewell to nodes that it no longer names. */
  followMembership(): void {
    const { raft } = this
    const { nodes } = raft.membership
    for (const id of nodes.keys()) {
      const known = this.followers.get(id)
      if (id === raft.id || (known !== undefined && known.leaving === null)) continue
      // A node that comes back gets another session: what it acknowledged before it left proves nothing (thesis 4.1).
      this.follow(id, logIndex(raft.log.lastIndex + 1))
    }
    const index = indexOf(raft.effective.logId)
    for (const progress of this.followers.values()) {
      if (!nodes.has(progress.id)) progress.leaving ??= { index, committedAt: null }
    }
  }

  private follow(id: NodeId, next: LogIndex): Progress {
    this.sessions += 1
    const progress = new Progress(id, this.sessions, next, this.raft.now)
    this.followers.set(id, progress)
    return progress
  }

  onAppendResponse(message: AppendResponse): void {
    const reason = this.ignoreAppendResponse(message)
    if (reason !== null) return this.raft.note(message.type, message.from, reason)
    const progress = this.follower(message.from)
    progress.heardAt = this.raft.now
    if (message.sentAt !== SENT_NEVER) progress.ackedAt = Math.max(progress.ackedAt, message.sentAt)
    const { outcome, sentAt } = message
    if (outcome.kind === 'matched') this.onMatched(progress, outcome.matched)
    else if (outcome.kind === 'conflict') this.onConflict(progress, outcome.prev, outcome.hint, sentAt)
    this.countAcknowledgements()
    // Earlier readings are confirmed first, so that this one is kept beside them.
    progress.clock.before(this.ackedAt)
    progress.clock.read(message.answeredAt, this.raft.now)
  }

  private ignoreAppendResponse(message: AppendResponse): string | null {
    if (this.raft.observe(message.vote)) return 'a higher vote'
    if (!sameLeaderId(message.asked.leaderId, this.vote.leaderId)) return 'an earlier ballot'
    const progress = this.followers.get(message.from)
    if (progress === undefined) return 'not a follower'
    if (message.session !== progress.session) return 'an earlier session'
    if (message.outcome.kind === 'outvoted') return 'outvoted by no higher vote'
    return message.sentAt > this.raft.now ? 'sent in the future' : null
  }

  private onMatched(progress: Progress, matched: LogIndex): void {
    const { log, now, options } = this.raft
    assert(matched <= log.lastIndex, 'a follower does not acknowledge more than its leader has')
    progress.acknowledge(matched, log.purgedIndex, now)
    // Once the follower is this close, the tail that every purge leaves is enough for it.
    const lagMax = Math.min(options.caughtUpEntriesMax, options.keepEntries)
    if (progress.mode === 'replicate' && log.lastIndex - progress.matched <= lagMax) progress.snapshot.needsAfter = null
  }

  private onConflict(progress: Progress, prev: LogIndex, hint: LogId | null, sentAt: number): void {
    const agreed = this.agreedAt(hint, prev)
    if (prev <= progress.matched) {
      // The message was sent after the follower had acknowledged `prev`, and yet `prev` is not there: the follower has lost part of its log
      // (a damaged disk). It must be counted from the start again. A conflict with anything sent earlier is old news.
      if (sentAt < progress.matchedAt || progress.mode === 'snapshot') return
      const { leaving, heardAt, ackedAt } = progress
      const again = this.follow(progress.id, logIndex(agreed + 1))
      again.leaving = leaving
      again.heardAt = heardAt
      again.ackedAt = ackedAt
    } else if (progress.mode === 'replicate') {
      progress.becomeProbe(logIndex(progress.matched + 1))
    } else if (progress.mode === 'probe' && progress.isProbing && prev === progress.next - 1) {
      progress.stepBack(agreed)
    }
  }

  /** The last of our entries that a follower can hold when its log agrees with ours at most up to `hint`. */
  private agreedAt(hint: LogId | null, prev: LogIndex): LogIndex {
    if (hint === null) return BEFORE_FIRST
    return this.raft.log.leaders.lastNotAbove(hint.leaderId, logIndex(Math.min(hint.index, prev - 1)))
  }

  /** A follower that has just connected or disconnected may have lost messages in flight. */
  connectionChanged(id: NodeId): void {
    const progress = this.followers.get(id)
    if (progress === undefined) return
    if (progress.mode === 'replicate') progress.becomeProbe(logIndex(progress.matched + 1))
    else progress.repeatProbe()
  }

  snapshotReport(id: NodeId, session: number, report: SnapshotReport): void {
    const { raft } = this
    const progress = this.followers.get(id)
    if (progress?.session !== session || progress.mode !== 'snapshot' || progress.snapshot.since === null) {
      return raft.note('snapshot', id, 'not the current transfer')
    }
    progress.snapshot.progressAt = raft.now
    if (report === 'sending') return
    if (report === 'installed') {
      // Its acknowledgement tells where the follower is now; if that was lost, a probe finds out.
      progress.becomeProbe(logIndex(raft.log.lastIndex + 1))
      progress.snapshot.failures = 0
    } else {
      progress.snapshot.needsAfter = null
      progress.snapshot.failures += 1
      progress.snapshot.retryAt = raft.now + raft.options.heartbeatMs * 2 ** Math.min(progress.snapshot.failures, 5)
    }
    progress.snapshot.since = null
  }

  /**
   * The last entry that a purge may free. A node that is being sent the state needs the entries after it until it has caught up: without
   * them it would need one state after another. This is bounded, so that neither a stuck transfer nor an endless one fills the disk.
   */
  purgeFloor(): LogIndex {
    const { now, options, log } = this.raft
    let floor = log.lastIndex
    for (const { snapshot, leaving } of this.followers.values()) {
      const { needsAfter, progressAt } = snapshot
      if (needsAfter === null || leaving !== null || now >= progressAt + options.snapshotHoldMs) continue
      // The next entry that the node needs may be gone all the same: then there is nothing left to hold.
      if (needsAfter < log.purgedIndex || log.sizes.bytesAfter(needsAfter) > options.snapshotHoldBytes) continue
      if (needsAfter < floor) floor = needsAfter
    }
    return floor
  }

  /** The last entry that a quorum holds. This node's own disk counts like any other (thesis 10.2.1). */
  heldByQuorum(): LogIndex {
    const { raft } = this
    const own = raft.outbox.durability.index
    return logIndex(reachedByQuorum(raft.membership, (id) => (id === raft.id ? own : this.follower(id).matched)))
  }

  countAcknowledgements(): void {
    const acked = this.quorumTime((progress) => progress.ackedAt)
    if (acked > this.ackedAt) this.ackedAt = acked
  }

  /**
   * Like `quorumAckedAt`, but without acknowledgements from before the present connection: while the connection was broken, the follower
   * may have taken this node for dead and voted for another (raft.md 5). Acknowledgements of messages that were sent before this machine
   * was suspended do not count either.
   */
  leaseStart(): number {
    const { connectedAt, wokenAt } = this.raft
    return this.quorumTime(({ id, ackedAt }) => {
      const since = connectedAt.get(id)
      return since !== undefined && ackedAt >= since && ackedAt >= wokenAt ? ackedAt : -Infinity
    })
  }

  private quorumTime(timeOf: (progress: Progress) => number): number {
    const { raft } = this
    return reachedByQuorum(raft.membership, (id) => (id === raft.id ? raft.now : timeOf(this.follower(id))))
  }

  /** Once each heartbeat interval: lost messages are sent again, every node hears something, and nodes that left are let go. */
  beat(): void {
    const { now, options } = this.raft
    for (const progress of this.followers.values()) {
      if (this.isGone(progress)) this.followers.delete(progress.id)
      else {
        const lostAt = progress.lostAt(options.electionTimeoutMsMin, options.transferBytesPerMsMin)
        if (lostAt <= now) this.connectionChanged(progress.id)
        // Entries are acknowledged only once they are on disk, so they stand in for a heartbeat only when they have been answered too.
        if (progress.sentAt <= this.lastHeartbeatAt || progress.ackedAt <= this.lastHeartbeatAt)
          this.sendEmpty(progress)
      }
    }
    this.lastHeartbeatAt = now
  }

  /** Whether a removed node may be let go: it has been told, or an election timeout has passed since its removal was committed. */
  private isGone({ leaving, matched, toldCommitted }: Progress): boolean {
    const { now, committed, options } = this.raft
    if (leaving === null) return false
    if (committed >= leaving.index) leaving.committedAt ??= now
    if (matched >= leaving.index && toldCommitted >= leaving.index) return true
    return leaving.committedAt !== null && now >= leaving.committedAt + options.electionTimeoutMsMin
  }

  /** Sends what is due, one message to each follower as far as the limits allow, and news of a commit to followers that got nothing. */
  flush(): void {
    for (const progress of this.followers.values()) {
      this.pump(progress)
      if (this.canBeTold(progress)) this.sendEmpty(progress)
    }
  }

  /** A message tells of commits only up to its own end. A follower is told nothing by it when the end of its log is purged here. */
  private canBeTold({ mode, matched, toldCommitted }: Progress): boolean {
    const { committed, log } = this.raft
    return mode === 'replicate' && committed > toldCommitted && matched > toldCommitted && matched >= log.purgedIndex
  }

  /** Sends something to every voter that got nothing since `since`, so that a quorum can confirm that this node still leads. */
  confirm(since: number): void {
    for (const progress of this.followers.values()) {
      if (progress.sentAt < since && this.raft.isVoter(progress.id)) this.sendEmpty(progress)
    }
  }

  /** A removed node gets nothing beyond the entry that removed it: what follows is not for it, and its build may be too old to read it. */
  private pump(progress: Progress): void {
    const { log } = this.raft
    if (progress.mode === 'snapshot') return this.pumpSnapshot(progress)
    const end = progress.leaving?.index ?? log.lastIndex
    while (progress.hasRoom(this.window)) {
      const { next, mode } = progress
      if (mode === 'replicate' && next > end) return
      if (next <= log.purgedIndex) return this.turnToSnapshot(progress)
      const { last, bytes } = next > end ? { last: logIndex(next - 1), bytes: 0 } : this.messageEnd(next, end)
      this.send(progress, logIndex(next - 1), last)
      if (mode === 'replicate') progress.sentEntries(last, bytes, this.raft.now)
      else progress.sentProbe(bytes, this.raft.now)
    }
  }

  /** Where a message that begins with entry `first` ends, at `end` at the latest, and about how many bytes it has. */
  private messageEnd(first: LogIndex, end: LogIndex): { readonly last: LogIndex; readonly bytes: number } {
    const { log, options } = this.raft
    const { last, bytes } = log.sizes.messageEnd(first, options.appendBytesMax, options.appendEntriesMax)
    return { last: logIndex(Math.min(last, end)), bytes }
  }

  /**
   * The next entry that the follower needs is purged. A follower that has never answered may be further than we think: probe the end first.
   */
  private turnToSnapshot(progress: Progress): void {
    if (progress.heardAt === null) {
      progress.next = logIndex(this.raft.log.lastIndex + 1)
      return this.pump(progress)
    }
    progress.becomeSnapshot()
    this.pumpSnapshot(progress)
  }

  /** The state goes only to a member that answers. After each failure the next attempt comes later. */
  private pumpSnapshot(progress: Progress): void {
    const { raft } = this
    const { snapshot, heardAt, id, session, leaving } = progress
    if (leaving !== null || snapshot.since !== null || raft.now < snapshot.retryAt) return
    if (heardAt === null || raft.now > heardAt + raft.options.electionTimeoutMsMax) return
    progress.sentSnapshot(raft.applied, raft.now)
    raft.outbox.snapshot({ to: id, session, vote: this.vote })
  }

  /**
   * A heartbeat or news of a commit. It begins at what this follower is known to hold, not at the commit index: a follower that is behind
   * must not answer it with a conflict. Below the purge mark it begins before the first entry, where every log agrees.
   */
  private sendEmpty(progress: Progress): void {
    const { log } = this.raft
    const prev = progress.matched >= log.purgedIndex ? progress.matched : BEFORE_FIRST
    this.send(progress, prev, prev)
  }

  private send(progress: Progress, prev: LogIndex, last: LogIndex): void {
    const { raft, vote } = this
    const { id: to, session } = progress
    const { committed, now: sentAt } = raft
    const prevId = raft.log.logIdAt(prev)
    assert(prev === BEFORE_FIRST || prevId !== null, 'a message begins at an entry that is still known')
    const freshAt = this.knowsWhatIsCommitted() ? progress.clock.before(this.ackedAt) : null
    const base = { from: raft.id, to, vote, session, prev: prevId, last, committed, sentAt, freshAt }
    raft.outbox.send({ type: 'append-plan', ...base })
    progress.sentAt = sentAt
    const told = Math.min(committed, last)
    if (told > progress.toldCommitted) progress.toldCommitted = logIndex(told)
  }

  /** True once an entry of its own ballot is committed (thesis 6.4). */
  private knowsWhatIsCommitted(): boolean {
    const { log, committed } = this.raft
    const leaderId = log.leaderIdAt(committed)
    return leaderId !== null && sameLeaderId(leaderId, this.vote.leaderId)
  }

  /** One for each other node of the effective membership. */
  view(): FollowerView[] {
    const current = [...this.followers.values()].filter((progress) => progress.leaving === null)
    return current.map((progress) => {
      const { id, session, mode, matched, heardAt } = progress
      return { id, session, mode, matched, heardAt, caughtUp: this.isCaughtUp(progress) }
    })
  }

  isCaughtUp(progress: Progress): boolean {
    const { log, options } = this.raft
    return progress.isCaughtUp(log.lastIndex, options.caughtUpEntriesMax)
  }

  /** For the checks of invariants.ts. */
  get all(): Iterable<Progress> {
    return this.followers.values()
  }
}
