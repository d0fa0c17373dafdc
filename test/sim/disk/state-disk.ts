import { rowFromBytes } from '../../../src/kv/index.ts'
import type { StateWrite } from '../../../src/ports/state-store.ts'

/** Rows by key. A key has one code unit for each byte, so `<` compares bytes. */
export type Rows = ReadonlyMap<string, Uint8Array>

function hashOf(text: string, bytes: Uint8Array): number {
  let low = 0x811c9dc5
  let high = 0x9e3779b9
  for (let i = 0; i < text.length; i++) {
    low = Math.imul(low ^ text.charCodeAt(i), 0x01000193)
    high = Math.imul(high ^ low, 0x85ebca6b)
  }
  for (let i = 0; i < bytes.length; i++) {
    low = Math.imul(low ^ (bytes[i] ?? 0), 0x01000193)
    high = Math.imul(high ^ low, 0xc2b2ae35)
  }
  return ((high ^ (high >>> 15)) & 0xfffff) * 0x1_0000_0000 + (low >>> 0)
}

const MODULUS = 2 ** 52

interface StoredRow {
  readonly value: Uint8Array
  readonly hash: number
}

/** What a write makes of a row; null for none. */
export interface RowChange {
  readonly key: string
  readonly row: StoredRow | null
}

/** Writes are applied to several images, and read only once. */
export function rowChanges(writes: readonly StateWrite[]): RowChange[] {
  return writes.map((write) => {
    const key = rowFromBytes(write.key)
    return { key, row: write.type === 'put' ? storedRow(key, write.value) : null }
  })
}

function storedRow(key: string, value: Uint8Array): StoredRow {
  return { value, hash: hashOf(key, value) }
}

/** The content of a state store: rows, their meta, and a digest of the rows that does not depend on the order of changes. */
export class StateImage {
  /** The keys in their order, and at the same places the rows. */
  private sorted: string[] = []
  private rows: StoredRow[] = []
  private shared = false
  meta: Uint8Array | null = null
  /** Sum of the hashes of all rows. */
  digest = 0

  static of(rows: Rows, meta: Uint8Array): StateImage {
    const image = new StateImage()
    image.apply(
      [...rows].map(([key, value]) => ({ key, row: storedRow(key, value) })),
      meta,
    )
    return image
  }

  get(key: string): Uint8Array | null {
    const at = this.positionOf(key)
    return this.sorted[at] === key ? (this.rows[at]?.value ?? null) : null
  }

  get size(): number {
    return this.sorted.length
  }

  apply(changes: readonly RowChange[], meta: Uint8Array): void {
    for (const { key, row } of changes) this.set(key, row)
    this.meta = meta
  }

  /** A copy that later changes do not affect. */
  copy(): StateImage {
    const copy = new StateImage()
    copy.sorted = this.sorted
    copy.rows = this.rows
    copy.shared = true
    copy.meta = this.meta
    copy.digest = this.digest
    this.shared = true
    return copy
  }

  /** All keys, ascending. */
  keys(): readonly string[] {
    return this.sorted
  }

  /** The keys from `start` on and before `end`, ascending. Null stands for no bound. */
  keysBetween(start: string | null, end: string | null): string[] {
    return this.sorted.slice(
      start === null ? 0 : this.positionOf(start),
      end === null ? this.sorted.length : this.positionOf(end),
    )
  }

  /** How many keys come before `key`, found by bisection. */
  private positionOf(key: string): number {
    const { sorted } = this
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      const one = sorted[middle]
      if (one !== undefined && one < key) low = middle + 1
      else high = middle
    }
    return low
  }

  private set(key: string, row: StoredRow | null): void {
    if (this.shared) {
      this.sorted = this.sorted.slice()
      this.rows = this.rows.slice()
      this.shared = false
    }
    const { sorted, rows } = this
    const at = this.positionOf(key)
    const before = sorted[at] === key ? rows[at] : undefined
    // Hashed anew: a buffer that was changed after it had been written shows as a digest that differs.
    if (before !== undefined) this.digest = (this.digest - hashOf(key, before.value) + MODULUS) % MODULUS
    if (row !== null) this.digest = (this.digest + row.hash) % MODULUS
    if (row === null) {
      if (before === undefined) return
      sorted.splice(at, 1)
      rows.splice(at, 1)
    } else if (before === undefined) {
      sorted.splice(at, 0, key)
      rows.splice(at, 0, row)
    } else {
      rows[at] = row
    }
  }
}

export interface UnsyncedWrite {
  readonly changes: readonly RowChange[]
  readonly meta: Uint8Array
}

/** The state on a machine's disk: writes on the platter, and later ones that were not synced. */
export class StateDisk {
  durable = new StateImage()
  unsynced: UnsyncedWrite[] = []
  /** The store cannot be read, and refuses to open until it is deleted. */
  damaged = false
  /** How often the store was deleted. */
  wipes = 0

  /** The first `count` unsynced writes reach the platter. */
  sync(count: number): void {
    for (const { changes, meta } of this.unsynced.splice(0, count)) this.durable.apply(changes, meta)
  }

  /** The state that a process sees when it opens the store now: a crash of the process alone loses nothing of the kernel's cache. */
  current(): StateImage {
    const image = this.durable.copy()
    for (const { changes, meta } of this.unsynced) image.apply(changes, meta)
    return image
  }

  wipe(): void {
    this.durable = new StateImage()
    this.unsynced = []
    this.damaged = false
    this.wipes += 1
  }
}
