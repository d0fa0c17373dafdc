import { offsetOfEntry } from '../../../src/lib/entries.ts'
import type { LeaderId, LogBatch, LogId, LogIndex } from '../../../src/raft/index.ts'
import { compareLeaderIds, indexOf, logIndex, sameLogId } from '../../../src/raft/index.ts'
import { describeLogId } from '../network/describe.ts'
import { Violation } from '../world/violation.ts'

/** An entry that some node has written at some time. */
export interface LedgerEntry {
  readonly logId: LogId
  readonly before: LogId | null
  readonly bytes: Uint8Array
}

/**
 * What one cluster has ever written and what it has committed: the truth that every node is held to.
 * A second cluster, formed of other nodes with other members, has a ledger of its own.
 */
export class Ledger {
  readonly clusterId: string
  /** Committed entries by index, without gaps. */
  readonly committed: LedgerEntry[] = []
  /** Under whose ballot each was committed first. */
  private readonly ballots: LeaderId[] = []
  private readonly written = new Map<string, LedgerEntry>()

  constructor(clusterId: string) {
    this.clusterId = clusterId
  }

  /** The entries of `batch` were written behind `last`. Throws when another node has written another entry of the same log id. */
  write(batch: LogBatch, last: LogId | null): void {
    let before = last
    let offset = 0
    for (let index: number = batch.first; index <= batch.last; index++) {
      const end = offset + offsetOfEntry(batch.body.subarray(offset), 1)
      const logId = { leaderId: batch.leaderId, index: logIndex(index) }
      this.writeEntry({ logId, before, bytes: batch.body.subarray(offset, end) })
      before = logId
      offset = end
    }
  }

  entry(logId: LogId): LedgerEntry | null {
    return this.written.get(nameOf(logId.leaderId, logId.index)) ?? null
  }

  /** The leader of `ballot` has counted `logId`, or something after it, on a quorum. */
  commit(logId: LogId, ballot: LeaderId): void {
    const entry = this.entry(logId)
    if (entry === null) throw new Violation('commit', `commits ${describeLogId(logId)}, which nobody has written`)
    if (logId.index !== this.committed.length)
      throw new Violation('commit', `commits ${describeLogId(logId)} out of order`)
    this.committed.push(entry)
    this.ballots.push(ballot)
  }

  /** The last entry that was committed under a ballot before `ballot`: whoever leads under that one has it. */
  committedBefore(ballot: LeaderId): LogId | null {
    return this.lastCommittedUnder((one) => compareLeaderIds(one, ballot) < 0)
  }

  /** The last entry that was committed under `ballot` or one before: nobody that follows `ballot` may remove it. */
  committedUpTo(ballot: LeaderId): LogId | null {
    return this.lastCommittedUnder((one) => compareLeaderIds(one, ballot) <= 0)
  }

  get lastCommitted(): LogId | null {
    return this.committed.at(-1)?.logId ?? null
  }

  committedAt(index: LogIndex): LogId | null {
    return this.committed[index]?.logId ?? null
  }

  private lastCommittedUnder(matches: (ballot: LeaderId) => boolean): LogId | null {
    return this.committed[this.ballots.findLastIndex(matches)]?.logId ?? null
  }

  private writeEntry(entry: LedgerEntry): void {
    const name = nameOf(entry.logId.leaderId, entry.logId.index)
    const known = this.written.get(name)
    if (known === undefined) {
      // A copy: the buffer belongs to the node.
      this.written.set(name, { ...entry, bytes: Uint8Array.from(entry.bytes) })
      return
    }
    // Behind a snapshot the entry before may be unknown by its full name, never different.
    if (indexOf(known.before) !== indexOf(entry.before) || !sameLogId(known.before, entry.before)) {
      throw new Violation(
        'log-matching',
        `${describeLogId(entry.logId)} stands behind ${describeLogId(entry.before)} here and behind ${describeLogId(known.before)} elsewhere`,
      )
    }
    if (!equalBytes(known.bytes, entry.bytes)) {
      throw new Violation('log-matching', `two entries have the log id ${describeLogId(entry.logId)}`)
    }
  }
}

function nameOf(leaderId: LeaderId, index: number): string {
  return `${index}:${leaderId.term}.${leaderId.nodeId}`
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** The ledgers of all clusters that were ever formed. */
export class Ledgers {
  private readonly byCluster = new Map<string, Ledger>()

  of(clusterId: string): Ledger {
    let ledger = this.byCluster.get(clusterId)
    if (ledger === undefined) {
      ledger = new Ledger(clusterId)
      this.byCluster.set(clusterId, ledger)
    }
    return ledger
  }

  all(): Ledger[] {
    return [...this.byCluster.values()]
  }
}
