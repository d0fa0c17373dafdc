import type { AnswerContext, KeyedRecord, Scan, ScanRange } from '../../api/services.ts'
import { decodeRecord, keyOfRow, recordRange, recordRow, rowBytes, rowFromBytes } from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import type { StateRow, StateView } from '../../ports/state-store.ts'

/** A walk over the records of a range in one consistent view, as they are in that view. */
export class RangeScan implements Scan {
  readonly context: AnswerContext
  readonly isRepeatable: boolean
  private readonly view: StateView
  private readonly reverse: boolean
  private start: Uint8Array
  private end: Uint8Array | null
  /** A row that was read already, to know whether anything follows the last page. */
  private ahead: StateRow | null = null
  private done: boolean

  constructor(view: StateView, range: ScanRange, { context, isRepeatable }: Pick<Scan, 'context' | 'isRepeatable'>) {
    this.view = view
    this.context = context
    this.isRepeatable = isRepeatable
    this.reverse = range.reverse
    const bounds = recordRange(range.start, range.end)
    this.start = rowBytes(bounds.start)
    this.end = bounds.end === null ? null : rowBytes(bounds.end)
    if (range.after !== null) this.continueAfter(rowBytes(recordRow(range.after)))
    this.done = this.end !== null && Buffer.compare(this.start, this.end) >= 0
  }

  async next(
    limit: number,
    bytesMax: number,
  ): Promise<{ readonly items: readonly KeyedRecord[]; readonly done: boolean }> {
    const rows: StateRow[] = []
    let bytes = 0
    while (rows.length < limit && (rows.length === 0 || bytes < bytesMax) && !this.done) {
      const read = await this.read(limit - rows.length, bytesMax - bytes)
      for (const row of read) {
        const size = row.key.length + row.value.length
        // A scan returns at least one row, even if that row does not fit. Then it is the last row that the scan returned.
        if (rows.length > 0 && bytes + size > bytesMax) {
          this.ahead = row
          return { items: rows.map(itemOf), done: false }
        }
        rows.push(row)
        bytes += size
      }
      this.done = read.length === 0
    }
    // The row after the page shows whether anything is left after it.
    if (!this.done) this.ahead = (await this.read(1, 1))[0] ?? null
    this.done = this.ahead === null
    return { items: rows.map(itemOf), done: this.done }
  }

  async count(limit: number): Promise<{ readonly count: number; readonly done: boolean }> {
    if (this.done) return { count: 0, done: true }
    const keys = await this.view.keys({
      start: this.start,
      end: this.end,
      reverse: this.reverse,
      limit,
      bytesMax: limits.countBytesMax,
    })
    const last = keys.at(-1)
    this.done = last === undefined
    if (last !== undefined) this.continueAfter(last)
    return { count: keys.length, done: this.done }
  }

  close(): Promise<void> {
    return this.view.close()
  }

  /** The next rows. No row is read twice. */
  private async read(limit: number, bytesMax: number): Promise<readonly StateRow[]> {
    const { ahead, start, end, reverse } = this
    if (ahead !== null) {
      this.ahead = null
      return [ahead]
    }
    const rows = await this.view.scan({ start, end, reverse, limit, bytesMax })
    const last = rows.at(-1)
    if (last !== undefined) this.continueAfter(last.key)
    return rows
  }

  private continueAfter(row: Uint8Array): void {
    if (this.reverse) this.end = row
    else this.start = Buffer.concat([row, Buffer.from([0])])
  }
}

function itemOf({ key, value }: StateRow): KeyedRecord {
  return { key: keyOfRow(rowFromBytes(key)), record: decodeRecord(value) }
}
