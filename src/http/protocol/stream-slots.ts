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

/** Limits the number of long answers in progress: each of them holds a view of the store. */
export class StreamSlots {
  private readonly max: number
  private taken = 0

  /** `max`: streams that may be open at once. */
  constructor(max: number) {
    this.max = max
  }

  /** Throws `overloaded` when no slot is free. The slot is given back once, however often `release` is called. */
  take(): { readonly release: () => void } {
    if (this.taken >= this.max) {
      const detail = `${this.taken} streams are open on this node, as many as it serves at once; try again later`
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
