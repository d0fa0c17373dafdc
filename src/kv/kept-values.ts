import { assert } from '../lib/assert.ts'
import type { RowKey } from './key.ts'
import { decodeIdempotentWriteName, encodeIdempotentWriteName } from './idempotent-write.ts'
import { keptValueRow, keptValueSlotRow } from './row.ts'
import type { Workspace } from './workspace.ts'

/** Values of one size: as many as there are slots. */
export interface KeptValueRing {
  readonly valueBytesMax: number
  readonly slots: number
}

export interface KeptValuesOptions {
  /** Values up to this size are kept inside the answer that they belong to, for as long as it is. */
  readonly inlineBytesMax: number
  /** Ascending by `valueBytesMax`. */
  readonly rings: readonly KeptValueRing[]
}

interface Ring extends KeptValueRing {
  readonly number: number
  /** Values that it has taken so far; the next one goes to this slot, modulo their number. */
  taken: number
}

/**
 * The previous values that belong to remembered answers and are too large to be kept with them.
 *
 * Each size has a ring, and a new value takes the place of the oldest one of its ring. So the bytes are bounded by the rings alone,
 * a value never pushes out more than one other, and small values live long beside large ones. Nothing here knows a time: what is
 * kept depends on the log alone, the same on every replica.
 */
export class KeptValues {
  private readonly inlineBytesMax: number
  private readonly rings: readonly Ring[]

  constructor(options: KeptValuesOptions, taken: readonly number[] | null) {
    this.inlineBytesMax = options.inlineBytesMax
    this.rings = options.rings.map((ring, number) => ({ ...ring, number, taken: taken?.[number] ?? 0 }))
    assert(taken === null || taken.length === options.rings.length, 'the rings of kept values stay the same')
  }

  state(): readonly number[] {
    return this.rings.map(({ taken }) => taken)
  }

  isApart(value: Uint8Array): boolean {
    return value.length > this.inlineBytesMax
  }

  /**
   * What must be loaded before `keep(name, ...)` or `find(name, ...)`. `before`: how many writes that may keep a value come before it
   * in the same batch. Which slot it takes depends on how many of those do: one named here, or by one of those.
   */
  readsOf(name: string, before: number): RowKey[] {
    return [keptValueRow(name), ...this.rings.map((ring) => slotRow(ring, before))]
  }

  keep(name: string, value: Uint8Array, workspace: Workspace): void {
    const ring = this.rings.find(({ valueBytesMax }) => value.length <= valueBytesMax)
    // Larger than any ring takes: it is forgotten at once.
    if (ring === undefined) return
    const slot = slotRow(ring, 0)
    const replaced = workspace.get(slot)
    if (replaced !== null) workspace.remove(keptValueRow(decodeIdempotentWriteName(replaced)))
    workspace.put(slot, encodeIdempotentWriteName(name))
    // A copy, so that the row does not keep alive the batch that the value arrived in.
    workspace.put(keptValueRow(name), Buffer.from(value))
    ring.taken += 1
  }

  /** The value that was kept under `name`; null when another has taken its place. */
  find(name: string, workspace: Workspace): Uint8Array | null {
    return workspace.get(keptValueRow(name))
  }
}

function slotRow({ number, taken, slots }: Ring, ahead: number): RowKey {
  return keptValueSlotRow(number, (taken + ahead) % slots)
}
