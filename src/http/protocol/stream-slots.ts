import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'

/** A stream of large values holds one that was read, one as text, and one on its way to the socket. */
const VALUES_HELD = 4
const STREAMS_LEAST = 4

/** How many streams may be open at once when values have up to `valueBytesMax` bytes. */
export function streamsMax(valueBytesMax: number): number {
  const fitting = Math.floor(limits.httpStreamsBytesMax / (VALUES_HELD * valueBytesMax))
  return Math.max(STREAMS_LEAST, Math.min(limits.httpStreamsMax, fitting))
}

/** The long answers that are on their way. Each holds a view of the store, so their number has a limit. */
export class StreamSlots {
  private readonly max: number
  private taken = 0

  /** `max`: streams at once. */
  constructor(max: number) {
    this.max = max
  }

  /** Rejects with `overloaded` when there are no more. The slot is given back once, however often `release` is called. */
  take(): { readonly release: () => void } {
    if (this.taken >= this.max) {
      const detail = `${this.taken} streams are open on this node, which is as many as it serves at once`
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
