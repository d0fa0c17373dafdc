import type { RowKey } from '../../kv/index.ts'

/** Roughly what a row costs beside its bytes: map slot, key, buffer header. */
const ROW_OVERHEAD_BYTES = 160

/**
 * Recently used rows, each an object of its own. There are two generations: rows in use move to the young one, and when that fills half of
 * the budget, the old one is dropped as a whole.
 */
export class LargeRows {
  private readonly bytesMax: number
  private young = new Map<RowKey, Uint8Array | null>()
  private old = new Map<RowKey, Uint8Array | null>()
  private youngBytes = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get(row: RowKey): Uint8Array | null | undefined {
    const young = this.young.get(row)
    if (young !== undefined) return young
    const old = this.old.get(row)
    if (old !== undefined) this.set(row, old)
    return old
  }

  set(row: RowKey, bytes: Uint8Array | null): void {
    this.forgetYoung(row)
    this.youngBytes += bytesOf(row, bytes)
    this.young.set(row, bytes)
    if (this.youngBytes <= this.bytesMax / 2) return
    this.old = this.young
    this.young = new Map()
    this.youngBytes = 0
  }

  delete(row: RowKey): void {
    this.forgetYoung(row)
    this.old.delete(row)
  }

  clear(): void {
    this.young = new Map()
    this.old = new Map()
    this.youngBytes = 0
  }

  private forgetYoung(row: RowKey): void {
    const bytes = this.young.get(row)
    if (bytes === undefined) return
    this.young.delete(row)
    this.youngBytes -= bytesOf(row, bytes)
  }
}

function bytesOf(row: RowKey, bytes: Uint8Array | null): number {
  return ROW_OVERHEAD_BYTES + row.length + (bytes?.length ?? 0)
}
