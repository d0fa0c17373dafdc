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

/** The content of a state store: rows, their meta, and a digest of both that does not depend on the order of changes. */
export class StateImage {
  private rows = new Map<string, Uint8Array>()
  private ascending: string[] | null = null
  private shared = false
  meta: Uint8Array | null = null
  /** Sum of the hashes of all rows. */
  digest = 0

  static of(rows: Rows, meta: Uint8Array): StateImage {
    const image = new StateImage()
    for (const [key, value] of rows) image.set(key, value)
    image.meta = meta
    return image
  }

  get(key: string): Uint8Array | null {
    return this.rows.get(key) ?? null
  }

  get size(): number {
    return this.rows.size
  }

  apply(writes: readonly StateWrite[], meta: Uint8Array): void {
    for (const write of writes) {
      const key = rowFromBytes(write.key)
      this.set(key, write.type === 'put' ? write.value : null)
    }
    this.meta = meta
  }

  /** A copy that later changes do not affect. */
  copy(): StateImage {
    const copy = new StateImage()
    copy.rows = this.rows
    copy.ascending = this.ascending
    copy.shared = true
    copy.meta = this.meta
    copy.digest = this.digest
    this.shared = true
    return copy
  }

  keys(): readonly string[] {
    this.ascending ??= [...this.rows.keys()].sort((a, b) => (a < b ? -1 : 1))
    return this.ascending
  }

  private set(key: string, value: Uint8Array | null): void {
    if (this.shared) {
      this.rows = new Map(this.rows)
      this.shared = false
    }
    const before = this.rows.get(key)
    if (before !== undefined) this.digest = (this.digest - hashOf(key, before) + MODULUS) % MODULUS
    if (value === null) {
      if (this.rows.delete(key)) this.ascending = null
      return
    }
    if (before === undefined) this.ascending = null
    this.rows.set(key, value)
    this.digest = (this.digest + hashOf(key, value)) % MODULUS
  }
}

export interface UnsyncedWrite {
  readonly writes: readonly StateWrite[]
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
    for (const { writes, meta } of this.unsynced.splice(0, count)) this.durable.apply(writes, meta)
  }

  /** The state that a process sees when it opens the store now: a crash of the process alone loses nothing of the kernel's cache. */
  current(): StateImage {
    const image = this.durable.copy()
    for (const { writes, meta } of this.unsynced) image.apply(writes, meta)
    return image
  }

  wipe(): void {
    this.durable = new StateImage()
    this.unsynced = []
    this.damaged = false
    this.wipes += 1
  }
}
