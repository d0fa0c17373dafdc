import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'

/** Counts the bytes of answers in memory: those on their way to slow readers, and those that are being made. */
export class AnswerRoom {
  private readonly bytesMax: number
  private taken = 0
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

  /** Reserves room for an answer that is about to be made. Returns the function that gives the room back; call it once. */
  reserve(bytes: number): () => void {
    this.check(bytes)
    this.take(bytes)
    return () => this.give(bytes)
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
