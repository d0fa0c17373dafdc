import type { HistoryLimits, Key, KeyRecord, Retention } from '../../../src/kv/index.ts'

/** What one command did to one key; null: the key was absent. */
export interface KeyChange {
  readonly key: Key
  readonly before: KeyRecord | null
  readonly after: KeyRecord | null
}

/** All that one command changed, in its order. */
export interface PastEntry {
  readonly revision: number
  readonly changes: readonly KeyChange[]
}

/** The past as the state of a machine tells it. */
export interface PastState {
  readonly compactedRevision: number
  readonly collectedRevision: number
  readonly changes: number
  readonly bytes: number
  readonly retention: Retention
}

/* The sizes of the rows of history, as docs/internals/storage.md describes them. */
const REVISION_BYTES = 8
const LIST_BYTES = 1 + REVISION_BYTES + 5
const LISTED_BYTES = 15
const VERSION_BYTES = 1 + 2 + REVISION_BYTES
const RECORD_BYTES = 33

/** The bytes of a superseded record and its row. */
export function versionBytes({ key, before }: KeyChange): number {
  return before === null ? 0 : VERSION_BYTES + key.length + RECORD_BYTES + before.value.length
}

function entryBytes({ changes }: PastEntry): number {
  return changes.reduce((sum, change) => {
    const tombstone = change.after === null ? VERSION_BYTES + change.key.length : 0
    return sum + versionBytes(change) + tombstone
  }, listBytes(changes))
}

function listBytes(changes: readonly KeyChange[]): number {
  return changes.reduce((sum, { key }) => sum + LISTED_BYTES + key.length, LIST_BYTES)
}

/** Which entries the store still tells of. The entries themselves are never forgotten here. */
export class HistoryModel {
  private readonly limits: HistoryLimits
  private readonly recorded: PastEntry[] = []
  private retention: Retention | null = null
  private compactedRevision = 0
  private collectedRevision = 0
  /** How many of the recorded entries are collected. */
  private collected = 0
  private bytes = 0

  constructor(limits: HistoryLimits) {
    this.limits = limits
  }

  get state(): PastState | null {
    const { retention, compactedRevision, collectedRevision, collected, bytes } = this
    if (retention === null) return null
    return { compactedRevision, collectedRevision, changes: this.recorded.length - collected, bytes, retention }
  }

  /** An entry may remove no more than this as a range; null before the cluster knows history. */
  get rangeBytesMax(): number | null {
    return this.retention === null ? null : this.limits.rangeBytesMax
  }

  private get isKept(): boolean {
    return this.retention !== null && this.retention.revisions > 0
  }

  /** The entries that a store tells of which has executed everything up to `revision` and has collected up to `collectedRevision`. */
  listed(collectedRevision: number, revision: number): PastEntry[] {
    return this.recorded.filter((entry) => entry.revision > collectedRevision && entry.revision <= revision)
  }

  retain(retention: Retention, revision: number): void {
    const goesOn = this.isKept && retention.revisions > 0
    if (!goesOn) this.compactedRevision = revision
    this.retention = retention
  }

  /** While history is switched off, only what is left of it goes on, and cannot be read. */
  record(entry: PastEntry): void {
    const isLeft = this.recorded.length > this.collected
    if (this.isKept || isLeft) {
      this.recorded.push(entry)
      this.bytes += entryBytes(entry)
    }
    if (this.retention !== null && !this.isKept) this.compactedRevision = entry.revision
  }

  /** One entry of a compaction removes a limited part. */
  compact(revision: number | null): { readonly compactedRevision: number; readonly done: boolean } {
    this.compactedRevision = Math.max(this.compactedRevision, revision ?? 0)
    const { stepRevisionsMax, stepRecordsMax, stepBytesMax } = this.limits
    const step = { revisions: 0, records: 0, bytes: 0 }
    for (let oldest = this.oldestExcess(); oldest !== null; oldest = this.oldestExcess()) {
      const { revisions, records, bytes } = step
      if (revisions === stepRevisionsMax || records >= stepRecordsMax || bytes > stepBytesMax)
        return { compactedRevision: this.compactedRevision, done: false }
      step.revisions += 1
      step.records += oldest.changes.length
      step.bytes += listBytes(oldest.changes)
      this.collect(oldest)
    }
    this.collectedRevision = Math.max(this.collectedRevision, this.compactedRevision)
    return { compactedRevision: this.compactedRevision, done: true }
  }

  private collect(entry: PastEntry): void {
    this.collected += 1
    this.bytes -= entryBytes(entry)
    this.collectedRevision = entry.revision
    this.compactedRevision = Math.max(this.compactedRevision, entry.revision)
  }

  /** The oldest entry, if it is compacted or more than the retention allows. */
  private oldestExcess(): PastEntry | null {
    const oldest = this.recorded[this.collected]
    if (oldest === undefined || this.retention === null) return null
    const exceeds =
      this.recorded.length - this.collected > this.retention.revisions || this.bytes > this.retention.bytes
    return exceeds || oldest.revision <= this.compactedRevision ? oldest : null
  }
}
