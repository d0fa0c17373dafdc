import { strict as assert } from 'node:assert'
import {
  compareLeaderIds,
  compareVotes,
  sameLeaderId,
  type LeaderId,
  type Outgoing,
  type RaftView,
} from '../../../src/raft/index.ts'
import type { LogImage } from './disk.ts'
import type { Entry } from './entries.ts'

function ballot({ term, nodeId }: LeaderId): string {
  return `${term}.${nodeId}`
}

/** The rules that must hold across all nodes and over all time, restarts included. */
export class Oracle {
  /** Every entry that any node ever knew to be committed. */
  readonly committed: Entry[] = []
  /** The ballot under which each of them was first seen to be committed. */
  private readonly ballots: LeaderId[] = []
  private readonly leaders = new Map<string, string>()
  private readonly written = new Map<string, string>()

  /**
   * Election safety: a ballot is led by one process life at most. Leader completeness: it holds all that was committed under lower
   * ballots. (A late leader of a low ballot may lack what a higher one has committed since; it can commit nothing itself.)
   */
  leads(view: RaftView, life: string, log: LogImage): void {
    const key = ballot(view.vote.leaderId)
    const known = this.leaders.get(key)
    assert.ok(known === undefined || known === life, `ballot ${key} is led by ${known} and ${life}`)
    if (known === life) return
    this.leaders.set(key, life)
    this.committed.forEach((entry, index) => {
      const under = this.ballots[index]
      if (index < log.first || under === undefined || compareLeaderIds(under, view.vote.leaderId) >= 0) return
      const held = log.entryAt(index)
      assert.ok(
        held !== null && same(held, entry),
        `leader ${key} holds committed entry ${index}: ${show(held)}, ${show(entry)}`,
      )
    })
  }

  /** Log matching: one index and ballot means one entry with one entry before it. */
  appended(log: LogImage, from: number): void {
    for (let index = from; index <= log.lastIndex; index++) {
      const entry = log.entryAt(index)
      if (entry === null) continue
      const before = log.logIdAt(index - 1)
      const key = `${index}:${ballot(entry.leaderId)}`
      const value = `${before === null ? '-' : ballot(before.leaderId)} ${entry.payload}`
      const known = this.written.get(key)
      assert.ok(known === undefined || known === value, `entry ${key} is ${known} and ${value}`)
      this.written.set(key, value)
    }
  }

  /** State machine safety: an index is committed with one entry, for ever. */
  commits(log: LogImage, from: number, to: number, who: number, under: LeaderId): void {
    for (let index = from; index <= to; index++) {
      const entry = log.entryAt(index)
      if (entry === null) continue
      const known = this.committed[index]
      assert.ok(
        known === undefined || same(known, entry),
        `node ${who} commits ${show(entry)} at ${index}, not ${show(known ?? null)}`,
      )
      assert.ok(index <= this.committed.length, `node ${who} commits ${index} before what is in front of it`)
      this.committed[index] = entry
      this.ballots[index] ??= under
    }
  }

  /** Nothing leaves before the write that it claims. */
  sends(message: Outgoing, durable: LogImage): void {
    if (message.type === 'vote-response' && message.granted) {
      assert.ok(compareVotes(durable.vote, message.asked) >= 0, 'a grant is on disk')
    }
    if (message.type === 'vote-request') assert.ok(compareVotes(durable.vote, message.vote) >= 0, 'a ballot is on disk')
    if (message.type === 'append-response') {
      const { outcome, asked } = message
      const settled = compareVotes(durable.vote, asked) >= 0 || outcome.kind === 'outvoted'
      assert.ok(settled, 'the vote of an acknowledgement is on disk')
      if (outcome.kind === 'matched' && sameLeaderId(durable.vote.leaderId, asked.leaderId)) {
        assert.ok(durable.lastIndex >= outcome.matched, 'what is acknowledged is on disk')
      }
    }
  }

  get lastCommitted(): number {
    return this.committed.length - 1
  }
}

function same(a: Entry, b: Entry): boolean {
  return a.payload === b.payload && ballot(a.leaderId) === ballot(b.leaderId)
}

function show(entry: Entry | null): string {
  return entry === null ? 'nothing' : `${ballot(entry.leaderId)} ${entry.payload.slice(0, 60)}`
}
