import type { ReadOptions } from '../../api/services.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'

/** Room for an answer that is to be made. */
export interface Reserved {
  /** Milliseconds that the request has left after the wait for room. */
  readonly leftMs: number
  /** Gives it back; to be called once. */
  readonly give: () => void
}

/** An answer that is made of what is read. */
export interface Page<Found> {
  readonly bytesMax: number
  readonly options: ReadOptions
  readonly read: (options: ReadOptions) => Promise<Found>
  readonly textOf: (found: Found) => string
  readonly send: (found: Found, text: string) => unknown
}

interface Waiting {
  readonly bytes: number
  readonly onRoom: () => void
}

/** Counts the bytes of answers in memory: those on their way to slow readers, and those that are being made. */
export class AnswerRoom {
  private readonly bytesMax: number
  private taken = 0
  private readonly waiting: Waiting[] = []
  /** Called when there is no room. It may close connections that keep others from being served. */
  onFull: () => void = () => {}

  constructor(bytesMax: number = limits.httpAnswerBytesMax) {
    this.bytesMax = bytesMax
  }

  /** Takes room without a check, for an answer that can no longer be refused. */
  take(bytes: number): void {
    this.taken += bytes
  }

  give(bytes: number): void {
    this.taken -= bytes
    if (this.waiting.length > 0) this.admit()
  }

  /** Throws `overloaded` when there is no room for an answer of `bytes`. When no other answer is in memory, any size has room. */
  check(bytes: number): void {
    if (this.fits(bytes)) return
    this.onFull()
    if (!this.fits(bytes)) throw this.fullError()
  }

  /** Why no request is taken whose answer may be large: answers take more than they may together. Null: they do not. */
  get refusal(): RequestError | null {
    if (this.taken <= this.bytesMax) return null
    this.onFull()
    return this.taken <= this.bytesMax ? null : this.fullError()
  }

  /** Returns the function that gives the room back; to be called once. */
  private reserve(bytes: number): () => void {
    this.check(bytes)
    this.take(bytes)
    return () => this.give(bytes)
  }

  /**
   * Reserves room, in turn with others who wait for it, for an answer whose size is not known, but only how large it may become. Rejects with
   * `overloaded` when there is none soon. `timeoutMs`: how long the request may take.
   */
  async reserveInTurn(bytes: number, timeoutMs: number): Promise<Reserved> {
    if (this.waiting.length === 0 && this.fits(bytes)) return { leftMs: timeoutMs, give: this.reserve(bytes) }
    const since = performance.now()
    this.onFull()
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => {
          this.waiting.splice(this.waiting.indexOf(waiting), 1)
          reject(this.fullError())
          this.admit()
        },
        Math.min(timeoutMs, limits.writeWaitMsMax),
      )
      const waiting: Waiting = {
        bytes,
        onRoom: () => {
          clearTimeout(timer)
          resolve({
            leftMs: Math.max(1, Math.ceil(timeoutMs - (performance.now() - since))),
            give: this.reserve(bytes),
          })
        },
      }
      this.waiting.push(waiting)
      this.admit()
    })
  }

  /**
   * Makes an answer for which up to `bytesMax` bytes are read, and sends it. Room for them is reserved, in turn, once the read is let through: one that
   * waits for a leader needs none. They hold it until the answer itself is counted, so that no answer is refused that was made; but JSON may take six
   * characters for a byte, and more than was reserved needs room as well. Rejects with `overloaded`.
   */
  async page<Found>({ bytesMax, options, read, textOf, send }: Page<Found>): Promise<void> {
    const deadline = performance.now() + options.timeoutMs
    const held: { room: Reserved | null } = { room: null }
    const prepare = async (): Promise<void> => {
      held.room ??= await this.reserveInTurn(bytesMax, Math.max(1, deadline - performance.now()))
    }
    try {
      const found = await read({ prepare, ...options })
      const text = textOf(found)
      const beyond = Buffer.byteLength(text) - bytesMax
      if (beyond > 0) this.check(beyond)
      send(found, text)
    } finally {
      held.room?.give()
    }
  }

  private admit(): void {
    for (let [next] = this.waiting; next !== undefined && this.fits(next.bytes); [next] = this.waiting) {
      this.waiting.shift()
      next.onRoom()
    }
  }

  private fullError(): RequestError {
    return new RequestError(
      'overloaded',
      `clients have ${this.taken} bytes of answers left to read from this node, which has no room for another one; try again later`,
    )
  }

  private fits(bytes: number): boolean {
    return this.taken === 0 || this.taken + bytes <= this.bytesMax
  }
}
