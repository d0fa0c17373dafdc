import type { AnswerContext, KeyedRecord, Scan, ScanRange } from '../../api/services.ts'
import type { Key, RowRange } from '../../kv/index.ts'
import { decodeRecord, keyOfRow, recordRange, recordRow, rowBytes, rowFromBytes, versionRange } from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import type { StateView } from '../../ports/state-store.ts'
import { VersionWalk, type KeyedVersion } from './versions.ts'

/** How many reads of the store a call may still make. */
interface Budget {
  reads: number
}

/**
 * A walk over the records of a range as they were at a past revision: two walks over one view, through the present records and through
 * those that were superseded, merged in the order of their keys.
 */
export class PastScan implements Scan {
  readonly context: AnswerContext
  readonly isRepeatable: boolean
  private readonly view: StateView
  private readonly reverse: boolean
  private records: RowRange
  private readonly walk: VersionWalk
  /** What was read of both, and not looked at yet. */
  private readonly present: KeyedRecord[] = []
  private isPresentDone = false
  private readonly superseded: KeyedVersion[] = []
  /** A record that was found, but did not fit in the last piece. */
  private ahead: KeyedRecord | null = null

  /** `shown.context.revision`: the past revision. */
  constructor(view: StateView, range: ScanRange, { context, isRepeatable }: Pick<Scan, 'context' | 'isRepeatable'>) {
    this.view = view
    this.context = context
    this.isRepeatable = isRepeatable
    const { start, end, after, reverse } = range
    this.reverse = reverse
    this.records = recordRange(start, end)
    this.walk = new VersionWalk(view, { range: versionRange(start, end), revision: context.revision, reverse })
    if (after === null) return
    this.continueRecords(after)
    this.walk.continueBeyond(after)
  }

  async next(limit: number, bytesMax: number): Promise<{ items: readonly KeyedRecord[]; done: boolean }> {
    const budget = { reads: limits.past.readsMax }
    const items: KeyedRecord[] = []
    let bytes = 0
    for (;;) {
      const found = await this.find(budget)
      if (found !== 'found' || this.ahead === null) return { items, done: found === 'end' }
      const size = this.ahead.key.length + this.ahead.record.value.length
      if (items.length === limit || (items.length > 0 && bytes + size > bytesMax)) return { items, done: false }
      items.push(this.ahead)
      bytes += size
      this.ahead = null
    }
  }

  /** The values of a past revision are among the rows that have to be read. */
  async count(limit: number): Promise<{ count: number; done: boolean }> {
    const { items, done } = await this.next(limit, limits.countBytesMax)
    return { count: items.length, done }
  }

  close(): Promise<void> {
    return this.view.close()
  }

  /** Looks for the next record, which is then `ahead`. */
  private async find(budget: Budget): Promise<'found' | 'end' | 'given-up'> {
    while (this.ahead === null) {
      if (!(await this.fill(budget))) return 'given-up'
      if (this.present.length === 0 && this.superseded.length === 0) return 'end'
      this.ahead = this.takeKey()
    }
    return 'found'
  }

  /** Makes sure that the next key of both walks is known. Returns false when that takes more reads than the call may make. */
  private async fill(budget: Budget): Promise<boolean> {
    while (this.present.length === 0 && !this.isPresentDone) {
      if (budget.reads === 0) return false
      budget.reads -= 1
      await this.readRecords()
    }
    while (this.superseded.length === 0 && !this.walk.isDone) {
      if (budget.reads === 0) return false
      budget.reads -= 1
      this.superseded.push(...(await this.walk.next()))
    }
    return true
  }

  /** Takes what both walks have of the next key. Returns the record that it had; null when it was absent at the revision. */
  private takeKey(): KeyedRecord | null {
    const [present] = this.present
    const [superseded] = this.superseded
    const order = present === undefined ? 1 : superseded === undefined ? -1 : this.order(present.key, superseded.key)
    if (order <= 0) this.present.shift()
    if (order >= 0) this.superseded.shift()
    if (present !== undefined && order <= 0 && present.record.modRevision <= this.context.revision) return present
    if (superseded === undefined || order < 0 || superseded.row.length === 0) return null
    return { key: superseded.key, record: decodeRecord(superseded.row) }
  }

  private order(one: Key, other: Key): number {
    if (one === other) return 0
    return one < other !== this.reverse ? -1 : 1
  }

  private async readRecords(): Promise<void> {
    const { start, end } = this.records
    const rows = await this.view.scan({
      start: rowBytes(start),
      end: end === null ? null : rowBytes(end),
      reverse: this.reverse,
      limit: limits.past.rowsMax,
      bytesMax: limits.past.bytesMax,
    })
    for (const { key, value } of rows) {
      this.present.push({ key: keyOfRow(rowFromBytes(key)), record: decodeRecord(value) })
    }
    const last = this.present.at(-1)
    if (rows.length === 0 || last === undefined) this.isPresentDone = true
    else this.continueRecords(last.key)
  }

  private continueRecords(after: Key): void {
    const { start, end } = this.records
    const row = recordRow(after)
    this.records = this.reverse ? { start, end: row } : { start: `${row}\0` as typeof row, end }
  }
}
