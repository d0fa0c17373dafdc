import { assert } from '../lib/assert.ts'
import type { DeleteRangeCommand } from './command.ts'
import type { History } from './history.ts'
import type { FirstResult } from './idempotent-write.ts'
import type { RowKey } from './key.ts'
import { rangeRead, type Records } from './records.ts'
import { keyOfRow } from './row.ts'
import type { ReadSet, Workspace } from './workspace.ts'

/** The rows of a range that one entry removes. */
interface Doomed {
  readonly rows: readonly RowKey[]
  /** The first row beyond what one entry may remove; null when nothing is left. */
  readonly next: RowKey | null
  /** The bytes that were exceeded before `next`; null: there are too many keys. */
  readonly limitBytes: number | null
  /** How many rows the range has at least. */
  readonly found: number
}

/**
 * Removes ranges. All rows change together, with one revision. The bounds hold for every entry, whoever proposed it: an entry that removed any
 * number of keys would stop all replicas for as long as that takes, and again after each restart.
 */
export class RangeDeletes {
  private readonly keysMax: number
  private readonly records: Records
  private readonly history: History

  constructor(keysMax: number, records: Records, history: History) {
    assert(keysMax >= 1, 'a range delete may remove at least one key')
    this.keysMax = keysMax
    this.records = records
    this.history = history
  }

  /** One row more than may be removed shows whether any would be left. */
  readsOf(command: DeleteRangeCommand): ReadSet {
    const ranges = this.rangesOf(command)
    if (this.history.rangeBytesMax === null) return { rows: [], ranges, bounded: null }
    return { rows: [], ranges: [], bounded: { rows: [], ranges, bytesMax: Number.MAX_SAFE_INTEGER } }
  }

  execute(command: DeleteRangeCommand, revision: number, workspace: Workspace): FirstResult {
    const doomed = this.doomed(command, workspace)
    const { rows, next } = doomed
    if (next !== null && !command.upToLimit) return this.refuse(next, doomed)
    this.records.removeRows(rows, revision, workspace)
    const outcome = { revision: this.records.revision, deleted: rows.length }
    if (!command.upToLimit) return { type: 'deleted', ...outcome, previous: null }
    return { type: 'range-deleted', ...outcome, next: next === null ? null : keyOfRow(next) }
  }

  private refuse(next: RowKey, { limitBytes, found }: Doomed): FirstResult {
    if (limitBytes === null) {
      this.records.refuseRange(next)
      return { type: 'range-too-large', limit: this.keysMax, found }
    }
    this.records.refuseHeavyRange(next)
    return { type: 'range-too-heavy', limitBytes }
  }

  private doomed(command: DeleteRangeCommand, workspace: Workspace): Doomed {
    const all = this.rangesOf(command).flatMap((range) => workspace.rowsIn(range))
    const found = all.length
    const rows = all.slice(0, this.keysMax)
    const limitBytes = this.history.rangeBytesMax
    if (limitBytes !== null) {
      let bytes = 0
      for (const [at, row] of rows.entries()) {
        if (bytes > limitBytes) return { rows: rows.slice(0, at), next: row, limitBytes, found }
        bytes += row.length + presentBytes(row, workspace)
      }
    }
    return { rows, next: all[this.keysMax] ?? null, limitBytes: null, found }
  }

  private rangesOf(command: DeleteRangeCommand) {
    return rangeRead(command, this.keysMax + 1, this.history.rangeBytesMax ?? 0)
  }
}

function presentBytes(row: RowKey, workspace: Workspace): number {
  const bytes = workspace.get(row)
  assert(bytes !== null, 'a row that is present in a range has bytes')
  return bytes.length
}
