import type { Change } from './change.ts'
import type { History } from './history.ts'
import type { Key, RowKey } from './key.ts'
import type { Digest } from './digest.ts'
import type { LeaseLedger } from './lease-ledger.ts'
import type { KeyRecord } from './record.ts'
import { decodeRecord, encodeRecord } from './record.ts'
import { keyOfRow, recordRange, recordRow } from './row.ts'
import type { RangeRead, Workspace } from './workspace.ts'

/** The fate of a record, as the digest keeps it. A number once used never means anything else. */
const CREATED = 1
const REPLACED = 2
const DELETED = 3
const WAS_ABSENT = 4
const RANGE_DELETED = 5
const CONDITION_FAILED = 6
const RANGE_REFUSED = 9
const RANGE_TOO_HEAVY = 14

/** Keys in `[start, end)`; null is unbounded. */
export interface KeyRange {
  readonly start: Key | null
  readonly end: Key | null
}

/** The rows of `range`; nothing when the bounds leave no key between them. */
export function rangeRead({ start, end }: KeyRange, limit: number, bytesMax = 0): readonly RangeRead[] {
  const rows = recordRange(start, end)
  return rows.end !== null && rows.start >= rows.end ? [] : [{ ...rows, limit, bytesMax }]
}

interface RecordsParts {
  readonly digest: Digest
  readonly history: History
  readonly leases: LeaseLedger
}

/** What is written to a key. `lease` 0: it belongs to none. */
interface Content {
  readonly value: Uint8Array
  readonly lease: number
}

/** The records as commands change them: every change, and every refusal, is absorbed by the digest. */
export class Records {
  /** The revision of the last command that changed a record. */
  revision: number
  private readonly digest: Digest
  private readonly history: History
  private readonly leases: LeaseLedger

  constructor({ digest, history, leases }: RecordsParts, revision: number) {
    this.digest = digest
    this.history = history
    this.leases = leases
    this.revision = revision
  }

  find(key: Key, workspace: Workspace): KeyRecord | null {
    const bytes = workspace.get(recordRow(key))
    return bytes === null ? null : decodeRecord(bytes)
  }

  /** `current`: the record that is replaced, null when the key is absent. Returns the new one. */
  put(key: Key, content: Content, current: KeyRecord | null, revision: number, workspace: Workspace): KeyRecord {
    const { value, lease } = content
    const createRevision = current === null ? revision : current.createRevision
    const version = current === null ? 1 : current.version + 1
    const record = { createRevision, modRevision: revision, version, lease, value }
    const row = recordRow(key)
    const bytes = encodeRecord(record)
    this.record('put', key, bytes, current, revision, workspace)
    workspace.put(row, bytes)
    this.leases.move(key, leaseOf(current), lease, workspace)
    this.absorb(current === null ? CREATED : REPLACED, row, current)
    this.digest.absorbEnds(value)
    if (lease !== 0) this.digest.absorbInteger(lease)
    return record
  }

  /** Returns how many records were removed: 0 or 1. */
  remove(key: Key, current: KeyRecord | null, revision: number, workspace: Workspace): number {
    const row = recordRow(key)
    this.absorb(current === null ? WAS_ABSENT : DELETED, row, current)
    if (current === null) return 0
    this.record('delete', key, null, current, revision, workspace)
    workspace.remove(row)
    this.leases.move(key, leaseOf(current), 0, workspace)
    return 1
  }

  removeRows(rows: readonly RowKey[], revision: number, workspace: Workspace): void {
    for (const row of rows) {
      const key = keyOfRow(row)
      const current = this.history.rangeBytesMax === null ? null : this.find(key, workspace)
      this.record('delete', key, null, current, revision, workspace)
      workspace.remove(row)
      this.leases.move(key, leaseOf(current), 0, workspace)
      this.digest.absorbText(row)
    }
    this.digest.absorb(RANGE_DELETED)
    this.digest.absorbInteger(rows.length)
  }

  /** A condition on the record of `key` does not hold. What a replica saw when it refused a command shows whether its rows are right. */
  refuse(key: Key, current: KeyRecord | null): void {
    this.absorb(CONDITION_FAILED, recordRow(key), current)
  }

  /** A range holds too many rows: `excess` is the first beyond the limit. */
  refuseRange(excess: RowKey): void {
    this.digest.absorb(RANGE_REFUSED)
    this.digest.absorbText(excess)
  }

  /** To be called while the row of `key` still holds `current`. */
  private record(
    kind: Change['kind'],
    key: Key,
    row: Uint8Array | null,
    current: KeyRecord | null,
    revision: number,
    workspace: Workspace,
  ): void {
    const previousRow = current === null ? null : workspace.get(recordRow(key))
    const previousRevision = current === null ? 0 : current.modRevision
    this.history.record({ kind, key, row, previousRow, previousRevision }, revision, workspace)
    this.revision = revision
  }

  /** A range holds records of too many bytes: that of `row` is the first beyond the limit. */
  refuseHeavyRange(row: RowKey): void {
    this.digest.absorb(RANGE_TOO_HEAVY)
    this.digest.absorbText(row)
  }

  private absorb(outcome: number, row: RowKey, previous: KeyRecord | null): void {
    this.digest.absorb(outcome)
    this.digest.absorbText(row)
    if (previous === null) return
    this.digest.absorbInteger(previous.modRevision)
    this.digest.absorb(previous.version)
    this.digest.absorb(previous.value.length)
  }
}

function leaseOf(record: KeyRecord | null): number {
  return record === null ? 0 : record.lease
}
