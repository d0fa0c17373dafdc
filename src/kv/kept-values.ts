import { assert } from '../lib/assert.ts'
import type { RowKey } from './key.ts'
import { latin1Of } from './latin1.ts'
import type { KeptPlace } from './ordered-name.ts'
import { keptValueRow, keptValueSlotRow } from './row.ts'
import type { Workspace } from './workspace.ts'

/** Values of one size class: as many as there are slots. */
export interface KeptValueRing {
  readonly valueBytesMax: number
  readonly slots: number
}

export interface KeptValuesOptions {
  /** Values up to this size are kept inside the answer that they belong to, for as long as the answer is kept. */
  readonly inlineBytesMax: number
  /** Ascending by `valueBytesMax`. */
  readonly rings: readonly KeptValueRing[]
}

interface Ring extends KeptValueRing {
  readonly number: number
  /** The number of values taken so far. The next value goes to slot `taken` modulo the number of slots. */
  taken: number
}

/**
 * The previous values that belong to remembered answers and are too large to be kept inside them.
 *
 * Each size class has a ring, and a new value takes the place of the oldest one in its ring. So the bytes are bounded by the rings alone, a
 * value never pushes out more than one other value, and small values live long beside large ones. Time plays no part: which values are kept
 * depends on the log alone, so it is the same on every replica.
 *
 * A value is kept under a name if and only if a slot names it. It goes with its name at the latest, since the name may mean another write
 * after that.
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
   * The rows that must be loaded before `keep(name, ...)` or `find(name, ...)`. `before`: how many earlier writes in the same batch may
   * keep a value. The slot that this write takes depends on how many of them do; its row is named either here or by one of those earlier
   * writes.
   */
  readsOf(name: string, before: number): RowKey[] {
    return [keptValueRow(name), ...this.rings.map((ring) => slotRow(ring, before))]
  }

  /** Null: the value is larger than any ring takes, and forgotten at once. */
  keep(name: string, value: Uint8Array, workspace: Workspace): KeptPlace | null {
    const ring = this.rings.find(({ valueBytesMax }) => value.length <= valueBytesMax)
    if (ring === undefined) return null
    const place = { ring: ring.number, taken: ring.taken }
    const slot = slotRow(ring, 0)
    const replaced = workspace.get(slot)
    if (replaced !== null) workspace.remove(keptValueRow(latin1Of(replaced, 0, replaced.length)))
    workspace.put(slot, Buffer.from(name, 'latin1'))
    // A copy, so that the row does not keep the batch alive in which the value arrived.
    workspace.put(keptValueRow(name), Buffer.from(value))
    ring.taken += 1
    return place
  }

  /** The name is forgotten whose value was kept at `place`. */
  forget(name: string, { ring: number, taken }: KeptPlace, workspace: Workspace): void {
    const ring = this.rings[number]
    assert(ring !== undefined && taken < ring.taken, 'a value was kept in a ring that is there')
    // Another value has taken its place already.
    if (ring.taken - taken > ring.slots) return
    workspace.remove(keptValueRow(name))
    workspace.remove(keptValueSlotRow(number, taken % ring.slots))
  }

  /** The value that was kept under `name`; null when another value has taken its place. */
  find(name: string, workspace: Workspace): Uint8Array | null {
    return workspace.get(keptValueRow(name))
  }
}

function slotRow({ number, taken, slots }: Ring, ahead: number): RowKey {
  return keptValueSlotRow(number, (taken + ahead) % slots)
}
