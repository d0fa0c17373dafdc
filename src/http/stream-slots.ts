import type { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { RequestError } from '../lib/errors.ts'
import { limits } from '../limits.ts'

/** A stream of large values holds one that was read, one as text, and one on its way to the socket. */
const VALUES_HELD = 4
const STREAMS_LEAST = 4

/** How many streams may be open at once when values have up to `valueBytesMax` bytes. */
export function streamsMax(valueBytesMax: number): number {
  const fitting = Math.floor(limits.httpStreamsBytesMax / (VALUES_HELD * valueBytesMax))
  return Math.max(STREAMS_LEAST, Math.min(limits.httpStreamsMax, fitting))
}

export interface StreamSlotsOptions {
  /** Streams at once. */
  readonly max: number
  /** A connection whose reader takes nothing for so long is cut off. */
  readonly stallTimeoutMs: number
}

/** The long answers that are on their way. Each holds a view of the store, so their number and their patience have a limit. */
export class StreamSlots {
  private readonly options: StreamSlotsOptions
  private taken = 0

  constructor(options: StreamSlotsOptions) {
    this.options = options
  }

  /** Rejects with `overloaded` when there are no more. The slot is given back once, however often `release` is called. */
  take(): { readonly release: () => void } {
    if (this.taken >= this.options.max) {
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

  send(reply: FastifyReply, stream: Readable): FastifyReply {
    reply.raw.setTimeout(this.options.stallTimeoutMs, () => reply.raw.destroy())
    return reply.send(stream)
  }
}
