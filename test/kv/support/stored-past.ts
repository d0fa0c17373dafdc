import { isDeepStrictEqual } from 'node:util'
import {
  changesAfter,
  decodeChanges,
  decodeRecord,
  recordRow,
  revisionOfChangesRow,
  versionOfRow,
  versionRange,
  versionsUpTo,
  type Key,
  type KeyRecord,
  type RowKey,
  type RowRange,
} from '../../../src/kv/index.ts'
import { versionBytes } from './history-model.ts'
import type { ReferenceModel } from './reference-model.ts'

/** The rows of a store, as they lie there. */
export interface StoredRows {
  /** The names of all rows, ascending. */
  keys(): readonly string[]
  get(row: string): Uint8Array | null
}

/** What is wrong with the history among `rows` after the command at `index`, by the model; null when nothing is. */
export function pastFault(rows: StoredRows, model: ReferenceModel, index: number): string | null {
  return (
    difference('lists', listsOf(rows), expectedLists(model, index)) ??
    difference('keeps', versionsOf(rows), expectedVersions(model, index)) ??
    readFault(rows, model, index)
  )
}

/** The record of `key` at `revision`, read from the rows as docs/internals/storage.md says. */
function storedRecordAt(rows: StoredRows, key: Key, revision: number): KeyRecord | null {
  const bytes = rows.get(recordRow(key))
  const current = bytes === null ? null : decodeRecord(bytes)
  if (current !== null && current.modRevision <= revision) return current
  const [row] = within(rows, versionsUpTo(key, revision), 1)
  const superseded = row === undefined ? null : rows.get(row)
  return superseded === null || superseded.length === 0 ? null : decodeRecord(superseded)
}

/** Every revision from the compacted one on has to read as it was. */
function readFault(rows: StoredRows, model: ReferenceModel, index: number): string | null {
  const { past, revision } = model.stateAt(index)
  if (past === null) return null
  const made = model.revisionsBetween(past.compactedRevision, revision)
  const keys = model.everyKey()
  for (const at of [past.compactedRevision, ...made]) {
    for (const key of keys) {
      const [seen, expected] = [storedRecordAt(rows, key, at), model.recordAt(key, at)]
      if (recordText(seen) !== recordText(expected))
        return `shows ${JSON.stringify(key)} at revision ${at} as ${recordText(seen)}, not ${recordText(expected)}`
    }
  }
  return null
}

function listsOf(rows: StoredRows): string[] {
  return within(rows, changesAfter(-1)).flatMap((row) => {
    const listed = decodeChanges(rows.get(row) ?? new Uint8Array(0))
    return listed.map(({ kind, key, previousRevision, previousBytes }) =>
      JSON.stringify([revisionOfChangesRow(row), kind, key, previousRevision, previousBytes]),
    )
  })
}

function expectedLists(model: ReferenceModel, index: number): string[] {
  return model.listedAt(index).flatMap(({ revision, changes }) =>
    changes.map((change) => {
      const kind = change.after === null ? 'delete' : 'put'
      return JSON.stringify([revision, kind, change.key, change.before?.modRevision ?? 0, versionBytes(change)])
    }),
  )
}

function versionsOf(rows: StoredRows): string[] {
  const found = within(rows, versionRange(null, null)).map((row) => {
    const version = versionOfRow(row)
    const bytes = rows.get(row)
    const record = bytes === null || bytes.length === 0 ? null : decodeRecord(bytes)
    return `${JSON.stringify(version?.key)} of ${version?.revision}: ${recordText(record)}`
  })
  return found.sort()
}

/** What the entries that are listed have superseded, and that they have deleted it. */
function expectedVersions(model: ReferenceModel, index: number): string[] {
  const expected: string[] = []
  for (const { revision, changes } of model.listedAt(index)) {
    for (const { key, before, after } of changes) {
      if (before !== null) expected.push(`${JSON.stringify(key)} of ${before.modRevision}: ${recordText(before)}`)
      if (after === null) expected.push(`${JSON.stringify(key)} of ${revision}: ${recordText(null)}`)
    }
  }
  return expected.sort()
}

function difference(does: string, seen: readonly string[], expected: readonly string[]): string | null {
  if (isDeepStrictEqual(seen, expected)) return null
  const at = seen.findIndex((one, position) => one !== expected[position])
  const position = at === -1 ? seen.length : at
  return `${does} ${seen[position] ?? 'nothing more'} where ${expected[position] ?? 'nothing more'} belongs`
}

/** All that a record says. */
export function recordText(record: KeyRecord | null): string {
  if (record === null) return 'nothing'
  const { createRevision, modRevision, version, lease, value } = record
  return JSON.stringify([createRevision, modRevision, version, lease, Buffer.from(value).toString('latin1')])
}

/** The first rows of a range. */
function within(rows: StoredRows, { start, end }: RowRange, max = Infinity): RowKey[] {
  const keys = rows.keys()
  let [low, high] = [0, keys.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((keys[middle] ?? '') < start) low = middle + 1
    else high = middle
  }
  const found: RowKey[] = []
  for (let row = keys[low]; row !== undefined && found.length < max; row = keys[++low]) {
    if (end !== null && row >= end) break
    found.push(row as RowKey)
  }
  return found
}
