import { strict as assert } from 'node:assert'
import {
  NO_MEMBERSHIP,
  VOTE_ZERO,
  compareVotes,
  indexOf,
  sameLeaderId,
  type LeaderRun,
  type LogId,
  type LogIndex,
  type RaftRestored,
  type StoredMembership,
  type Vote,
  type Write,
} from '../../../src/raft/index.ts'
import { membershipIn, payloadsOf, type Entry } from './entries.ts'

/** The contents of a log. */
export class LogImage {
  vote: Vote = VOTE_ZERO
  purged: LogId | null = null
  /** From `purged + 1` on. */
  entries: Entry[] = []

  clone(): LogImage {
    const copy = new LogImage()
    copy.vote = this.vote
    copy.purged = this.purged
    copy.entries = [...this.entries]
    return copy
  }

  get first(): number {
    return indexOf(this.purged) + 1
  }

  get lastIndex(): number {
    return indexOf(this.purged) + this.entries.length
  }

  entryAt(index: number): Entry | null {
    return this.entries[index - this.first] ?? null
  }

  logIdAt(index: number): LogId | null {
    if (this.purged !== null && index === this.purged.index) return this.purged
    const entry = this.entryAt(index)
    return entry === null ? null : { leaderId: entry.leaderId, index: index as LogIndex }
  }

  carryOut(write: Write): void {
    switch (write.type) {
      case 'vote':
        assert.ok(compareVotes(write.vote, this.vote) > 0, 'a smaller vote is never written')
        this.vote = write.vote
        return
      case 'truncate':
        assert.ok(write.from >= this.first && write.from <= this.lastIndex, 'truncation within the log')
        this.entries.length = write.from - this.first
        return
      case 'append': {
        const { batch, from } = write
        assert.equal(from, this.lastIndex + 1, 'an append leaves no hole')
        const payloads = payloadsOf(batch.body).slice(from - batch.first)
        assert.equal(payloads.length, batch.last - from + 1, 'a batch holds as many entries as it says')
        for (const payload of payloads) this.entries.push({ leaderId: batch.leaderId, payload })
        return
      }
      case 'reset':
        this.purged = write.purged
        this.entries = []
        return
      case 'purge':
        assert.ok(
          write.purged.index > indexOf(this.purged) && write.purged.index <= this.lastIndex,
          'a purge within the log',
        )
        this.entries.splice(0, write.purged.index - indexOf(this.purged))
        this.purged = write.purged
    }
  }
}

export interface State {
  readonly applied: LogId | null
  readonly membership: StoredMembership
}

const EMPTY_STATE: State = { applied: null, membership: NO_MEMBERSHIP }

/** A log with writes on their way, and the state on disk. What is on its way is lost by a crash, from some point on. */
export class Disk {
  /** As a reader of the log sees it: everything that was written. */
  current = new LogImage()
  durable = new LogImage()
  state: State = EMPTY_STATE
  private pending: { readonly seq: number; readonly write: Write }[] = []
  private seq = 0

  write(write: Write): void {
    this.current.carryOut(write)
    this.seq += 1
    this.pending.push({ seq: this.seq, write })
  }

  get lastSeq(): number {
    return this.seq
  }

  get pendingCount(): number {
    return this.pending.length
  }

  persist(seq: number): void {
    while (this.pending[0] !== undefined && this.pending[0].seq <= seq) {
      this.durable.carryOut(this.pending[0].write)
      this.pending.shift()
    }
  }

  /** The first `survivors` writes that were on their way made it. */
  crash(survivors: number): void {
    this.persist(this.pending[survivors - 1]?.seq ?? 0)
    this.pending = []
    this.seq = 0
    // The state may be ahead of what the log's last writes held; the driver then resets the log to it.
    if (indexOf(this.state.applied) > this.durable.lastIndex) {
      this.durable.purged = this.state.applied
      this.durable.entries = []
    }
    this.current = this.durable.clone()
  }

  restored(recoverUntil: number | null = null): RaftRestored {
    const { durable, state } = this
    const runs: LeaderRun[] = []
    durable.entries.forEach(({ leaderId }, i) => {
      const before = runs.at(-1)
      if (before === undefined || !sameLeaderId(before.leaderId, leaderId)) {
        runs.push({ leaderId, first: (durable.first + i) as LogIndex })
      }
    })
    const applied = indexOf(state.applied)
    const memberships = durable.entries.flatMap(({ leaderId, payload }, i) => {
      const index = (durable.first + i) as LogIndex
      const found = index > applied ? membershipIn(payload) : null
      return found === null ? [] : [{ logId: { leaderId, index }, membership: found }]
    })
    return {
      vote: durable.vote,
      purged: durable.purged,
      last: durable.logIdAt(durable.lastIndex),
      runs,
      sizes: durable.entries.map(({ payload }, i) => ({
        last: (durable.first + i) as LogIndex,
        bytes: payload.length,
      })),
      applied: state.applied,
      appliedMembership: state.membership,
      memberships,
      recoverUntil: recoverUntil === null ? null : (recoverUntil as LogIndex),
    }
  }
}
