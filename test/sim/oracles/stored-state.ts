import { isDeepStrictEqual } from 'node:util'
import {
  AUTH_ROW,
  decodeAuthTable,
  decodeRecord,
  keyOfRow,
  recordRange,
  recordRow,
  type MachineState,
  type RowKey,
} from '../../../src/kv/index.ts'
import { authFault } from '../../kv/support/auth-model.ts'
import type { ReferenceModel } from '../../kv/support/reference-model.ts'
import { recordText, type StoredRows } from '../../kv/support/stored-past.ts'

/** What is wrong with what a machine carries beside the rows, after the command at `index`; null when nothing is. */
export function stateFault(state: MachineState, model: ReferenceModel, index: number): string | null {
  const { revision, level, past, leases, auth } = model.stateAt(index)
  const expected = { revision, level, history: past, leases: leases.counts, auth: auth?.revision ?? 0 }
  const { history, leases: counts } = state
  const seen = { revision: state.revision, level: state.level, history, leases: counts, auth: state.auth }
  if (isDeepStrictEqual(seen, expected)) return null
  return `has the state ${JSON.stringify(seen)}, not ${JSON.stringify(expected)}`
}

/** What is wrong with the roles and tokens among `rows`; null when nothing is. */
export function authRowFault(rows: StoredRows, model: ReferenceModel, index: number): string | null {
  const bytes = rows.get(AUTH_ROW)
  return authFault(bytes === null ? null : decodeAuthTable(bytes), model.stateAt(index).auth)
}

/** What is wrong with the current records among `rows`; null when nothing is. */
export function recordsFault(rows: StoredRows, model: ReferenceModel, index: number): string | null {
  const range = recordRange(null, null)
  const present = rows.keys().filter((row) => row >= range.start && (range.end === null || row < range.end))
  const seen = present.map((row) => keyOfRow(row as RowKey))
  const expected = model.keysAt(null, null, index)
  if (!isDeepStrictEqual(expected, seen)) return `holds [${seen.join(' ')}], not [${expected.join(' ')}]`
  for (const key of expected) {
    const bytes = rows.get(recordRow(key))
    const [record, wanted] = [bytes === null ? null : decodeRecord(bytes), model.recordAt(key, index)]
    if (recordText(record) !== recordText(wanted))
      return `holds ${recordText(record)} as ${key}, not ${recordText(wanted)}`
  }
  return null
}
