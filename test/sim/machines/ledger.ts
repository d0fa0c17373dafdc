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
 * Everything that one cluster has ever written, and what it has committed: the truth against which every node is checked. A
 * second cluster, formed by other nodes with other members, has a ledger of its own.
 */
export class Ledger {
  readonly clusterId: string
  /** Committed entries by index, without gaps. */
  readonly committed: LedgerEntry[] = []
  /** The ballot under which each entry was first committed. */
  private readonly ballots: LeaderId[] = []
  private readonly written = new Map<string, LedgerEntry>()

  constructor(clusterId: string) {
    this.clusterId = clusterId
  }

  /**
   * Records that the entries of `batch` were written after `last`. Throws when another node has written a different entry with
   * the same log id.
   */
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

  /** The leader of `ballot` has found `logId`, or a later entry, on a quorum. */
  commit(logId: LogId, ballot: LeaderId): void {
    const entry = this.entry(logId)
    if (entry === null) throw new Violation('commit', `commits ${describeLogId(logId)}, which nobody has written`)
    if (logId.index !== this.committed.length)
      throw new Violation('commit', `commits ${describeLogId(logId)} out of order`)
    this.committed.push(entry)
    this.ballots.push(ballot)
  }

  /** The last entry that was committed under an earlier ballot than `ballot`. The leader of `ballot` must have it. */
  committedBefore(ballot: LeaderId): LogId | null {
    return this.lastCommittedUnder((one) => compareLeaderIds(one, ballot) < 0)
  }

  /** The last entry that was committed under `ballot` or an earlier one. No follower of `ballot` may remove it. */
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
      // A copy, because the buffer belongs to the node.
      this.written.set(name, { ...entry, bytes: Uint8Array.from(entry.bytes) })
      return
    }
    // After a snapshot the log id of the previous entry may be only partly known, but it never differs.
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
