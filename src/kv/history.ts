import { assert } from '../lib/assert.ts'
import type { Change, EntryChanges, ListedChange } from './change.ts'
import { decodeChanges, encodeChanges } from './change.ts'
import type { CompactionCommand, Retention } from './command.ts'
import type { Digest } from './digest.ts'
import type { RowKey } from './key.ts'
import { changesAfter, changesRow, revisionOfChangesRow, versionRow, versionRowBytes } from './row.ts'
import type { RangeRead, ReadSet, Workspace } from './workspace.ts'

/** What the machine carries of the history from command to command, apart from the rows. */
export interface HistoryState {
  /** Reads at this revision and later ones are answered; what was before it is gone, or about to go. Never decreases. */
  readonly compactedRevision: number
  /** No changes up to this revision are listed any more. Never decreases. */
  readonly collectedRevision: number
  /** How many revisions are listed, and how many bytes their rows and those of superseded records have. */
  readonly changes: number
  readonly bytes: number
  readonly retention: Retention
}

/** Results depend on these: the same on every node, changed only with the format. */
export interface HistoryLimits {
  /** While history is kept: the bytes of the records that one entry may remove as a range. */
  readonly rangeBytesMax: number
  /** What one compaction removes: revisions, superseded records (but one revision at least), and the bytes of the lists it reads. */
  readonly stepRevisionsMax: number
  readonly stepRecordsMax: number
  readonly stepBytesMax: number
}

/** What a compaction did, as the digest keeps it. A number once used never means anything else. */
const COMPACTED = 13

const NOTHING: Uint8Array = new Uint8Array(0)

/**
 * The past of the records: what each entry changed, and the records that it superseded, for reads at an earlier revision and for watchers.
 *
 * A record is copied when it is superseded, not when it is written: every command that changes a record has read it anyway. So a new key costs
 * one row of history, and another write to it two.
 */
export class History {
  private readonly limits: HistoryLimits
  private readonly digest: Digest
  private compactedRevision: number
  private collectedRevision: number
  private changes: number
  private bytes: number
  /** Null until every member of the cluster knows history. */
  private retention: Retention | null
  /** What the present command has changed so far. */
  private present: Change[] = []

  constructor(limits: HistoryLimits, digest: Digest, restored: HistoryState | null) {
    this.limits = limits
    this.digest = digest
    this.compactedRevision = restored?.compactedRevision ?? 0
    this.collectedRevision = restored?.collectedRevision ?? 0
    this.changes = restored?.changes ?? 0
    this.bytes = restored?.bytes ?? 0
    this.retention = restored?.retention ?? null
  }

  /** Null until the first `setRetention`. */
  state(): HistoryState | null {
    const { compactedRevision, collectedRevision, changes, bytes, retention } = this
    return retention === null ? null : { compactedRevision, collectedRevision, changes, bytes, retention }
  }

  private get isKept(): boolean {
    return this.retention !== null && this.retention.revisions > 0
  }

  /**
   * What is left of a history that was switched off goes on until it is removed: without the deletions after it, a record of then would seem
   * to be there still once history is switched on again.
   */
  private get isRecorded(): boolean {
    return this.isKept || this.changes > 0
  }

  /** The bytes of the records that one entry may remove as a range; null: they are not read. */
  get rangeBytesMax(): number | null {
    return this.retention === null ? null : this.limits.rangeBytesMax
  }

  /** `revision`: the last one of the store. What was not recorded cannot be read. */
  setRetention(retention: Retention, revision: number): void {
    if (!this.isKept || retention.revisions === 0) this.compactedRevision = revision
    this.retention = retention
  }

  /** The present command, which has `revision`, changes a record. A command changes each key once at most. */
  record(change: Change, revision: number, workspace: Workspace): void {
    this.present.push(change)
    if (!this.isRecorded) return
    const { key, kind, previousRow, previousRevision } = change
    if (previousRow !== null) workspace.put(versionRow(key, previousRevision), previousRow)
    if (kind === 'delete') workspace.put(versionRow(key, revision), NOTHING)
  }

  /** The present command has been executed. Returns what it changed; null when it changed nothing. */
  finish(revision: number, workspace: Workspace): EntryChanges | null {
    if (this.present.length === 0) return null
    const changes = this.present
    this.present = []
    if (this.isRecorded) this.list(changes, revision, workspace)
    if (!this.isKept && this.retention !== null) this.compactedRevision = revision
    return { revision, changes }
  }

  private list(changes: readonly Change[], revision: number, workspace: Workspace): void {
    const listed = changes.map(listedChange)
    const row = changesRow(revision)
    const bytes = encodeChanges(listed)
    workspace.put(row, bytes)
    this.changes += 1
    this.bytes += bytesOf(row, bytes, listed)
  }

  /** The oldest revisions that are listed, as many as one compaction removes. */
  readsOf(): ReadSet {
    return { rows: [], ranges: [], bounded: { rows: [], ranges: [this.oldest()], bytesMax: Number.MAX_SAFE_INTEGER } }
  }

  /** `done`: nothing is left to remove. */
  compact(
    { revision }: CompactionCommand,
    workspace: Workspace,
  ): { readonly compactedRevision: number; readonly done: boolean } {
    if (revision !== null && revision > this.compactedRevision) this.compactedRevision = revision
    const done = this.collect(workspace)
    if (done && this.collectedRevision < this.compactedRevision) this.collectedRevision = this.compactedRevision
    this.digest.absorb(COMPACTED)
    for (const number of [this.compactedRevision, this.collectedRevision, this.changes, this.bytes])
      this.digest.absorbInteger(number)
    return { compactedRevision: this.compactedRevision, done }
  }

  private collect(workspace: Workspace): boolean {
    const { stepRevisionsMax, stepRecordsMax, stepBytesMax } = this.limits
    let records = 0
    let read = 0
    for (const [at, row] of workspace.rowsIn(this.oldest()).entries()) {
      const revision = revisionOfChangesRow(row)
      assert(revision !== null, 'only rows of changes are among them')
      if (!this.isExcess(revision)) return true
      if (at === stepRevisionsMax || records >= stepRecordsMax || read > stepBytesMax) return false
      const bytes = workspace.get(row)
      assert(bytes !== null, 'a row that is present in a range has bytes')
      read += row.length + bytes.length
      records += this.forget(row, bytes, revision, workspace)
    }
    return true
  }

  /** Removes one revision, and the records that it superseded. Returns how many rows these had. */
  private forget(row: RowKey, bytes: Uint8Array, revision: number, workspace: Workspace): number {
    const listed = decodeChanges(bytes)
    let records = 0
    for (const { kind, key, previousRevision } of listed) {
      if (previousRevision > 0) workspace.remove(versionRow(key, previousRevision))
      // Nothing older than the deletion is left to tell it from.
      if (kind === 'delete') workspace.remove(versionRow(key, revision))
      records += 1
    }
    workspace.remove(row)
    this.changes -= 1
    this.bytes -= bytesOf(row, bytes, listed)
    this.collectedRevision = revision
    if (revision > this.compactedRevision) this.compactedRevision = revision
    return records
  }

  private isExcess(revision: number): boolean {
    if (this.retention === null || revision <= this.compactedRevision) return true
    return this.changes > this.retention.revisions || this.bytes > this.retention.bytes
  }

  /** One row more than one compaction removes shows whether any would be left. */
  private oldest(): RangeRead {
    const { stepRevisionsMax, stepBytesMax } = this.limits
    return { ...changesAfter(this.collectedRevision), limit: stepRevisionsMax + 1, bytesMax: stepBytesMax }
  }
}

function listedChange({ kind, key, previousRow, previousRevision }: Change): ListedChange {
  const previousBytes = previousRow === null ? 0 : versionRowBytes(key) + previousRow.length
  return { kind, key, previousRevision, previousBytes }
}

/** The bytes of all rows that history holds because of one entry. */
function bytesOf(row: RowKey, bytes: Uint8Array, listed: readonly ListedChange[]): number {
  let sum = row.length + bytes.length
  for (const { kind, key, previousBytes } of listed) {
    sum += previousBytes
    if (kind === 'delete') sum += versionRowBytes(key)
  }
  return sum
}
