import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'

/** A stream of large values holds one that was read, one as text, and one on its way to the socket. */
const VALUES_HELD = 4
const STREAMS_LEAST = 4

/** The number of streams that may be open at once when values have up to `valueBytesMax` bytes. */
export function streamsMax(valueBytesMax: number): number {
  const fitting = Math.floor(limits.httpStreamsBytesMax / (VALUES_HELD * valueBytesMax))
  return Math.max(STREAMS_LEAST, Math.min(limits.httpStreamsMax, fitting))
}

/** How many of `max` streams are left to backups: whoever may read a few keys cannot keep an operator from one. */
export function keptForBackups(max: number): number {
  return Math.min(limits.httpStreamsForBackups, Math.floor(max / STREAMS_LEAST))
}

/** An import holds a line, up to six bytes for each byte of a value, the same as text, and what the text says. */
const VALUES_HELD_BY_IMPORT = 16
/** The changes on their way are there as records, as commands, and as entries. */
const COPIES_IN_FLIGHT = 4
const IMPORTS_LEAST = 2

/** The same for imports. */
export function importsMax(valueBytesMax: number): number {
  const bytes = VALUES_HELD_BY_IMPORT * valueBytesMax + COPIES_IN_FLIGHT * limits.importBytesInFlightMax
  return Math.max(IMPORTS_LEAST, Math.min(limits.importsMax, Math.floor(limits.importsBytesMax / bytes)))
}

/** Limits the number of streams of one kind: each of them holds a view of the store, or much memory, for as long as it lasts. */
export class StreamSlots {
  private readonly max: number
  private readonly kind: string
  private taken = 0

  /** `max`: streams that may be open at once. `kind`: what they are, in the plural. */
  constructor(max: number, kind: string) {
    this.max = max
    this.kind = kind
  }

  /**
   * Throws `overloaded` when no more slots are free than those that are kept for others, `kept`. The slot is given back once, however often
   * `release` is called.
   */
  take(kept = 0): { readonly release: () => void } {
    if (this.taken >= this.max - kept) {
      const detail = `${this.taken} ${this.kind} are open on this node, as many as it serves at once; try again later`
      throw new RequestError('overloaded', detail)
    }
    this.taken += 1
    let held = true
    const release = (): void => {
      if (held) this.taken -= 1
      held = false
    }
    return { release }
  }
}
