import type { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { RequestError } from '../lib/errors.ts'
import { limits } from '../limits.ts'

/** The long answers that are on their way. Each holds a view of the store, so their number and their patience have a limit. */
export class StreamSlots {
  private readonly stallTimeoutMs: number
  private taken = 0

  /** `stallTimeoutMs`: a connection whose reader takes nothing for so long is cut off. */
  constructor(stallTimeoutMs: number) {
    this.stallTimeoutMs = stallTimeoutMs
  }

  /** Rejects with `overloaded` when there are no more. The slot is given back once, however often `release` is called. */
  take(): { readonly release: () => void } {
    if (this.taken >= limits.httpStreamsMax) {
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
    reply.raw.setTimeout(this.stallTimeoutMs, () => reply.raw.destroy())
    return reply.send(stream)
  }
}
