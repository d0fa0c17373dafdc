import type { RowKey } from '../../kv/index.ts'

/** Roughly what a row costs beside its bytes: map slot, key, buffer header. */
const ROW_OVERHEAD_BYTES = 160

/**
 * Recently used rows, limited by bytes. There are two generations: rows in use move to the young one, and when that fills half of the
 * budget, the old one is dropped as a whole. Absent rows are remembered too (as `null`).
 */
export class RowCache {
  private readonly bytesMax: number
  private young = new Map<RowKey, Uint8Array | null>()
  private old = new Map<RowKey, Uint8Array | null>()
  private youngBytes = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  /** The row's bytes; null when it is known to be absent; undefined when nothing is known. */
  get(row: RowKey): Uint8Array | null | undefined {
    const young = this.young.get(row)
    if (young !== undefined) return young
    const old = this.old.get(row)
    if (old !== undefined) this.set(row, old)
    return old
  }

  set(row: RowKey, bytes: Uint8Array | null): void {
    const before = this.young.get(row)
    if (before === undefined) this.youngBytes += ROW_OVERHEAD_BYTES + row.length
    this.youngBytes += (bytes?.length ?? 0) - (before?.length ?? 0)
    this.young.set(row, bytes)
    if (this.youngBytes <= this.bytesMax / 2) return
    this.old = this.young
    this.young = new Map()
    this.youngBytes = 0
  }

  clear(): void {
    this.young = new Map()
    this.old = new Map()
    this.youngBytes = 0
  }
}
