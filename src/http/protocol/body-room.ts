import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'

/** Counts the bytes of request bodies in memory: those that are arriving, and those whose requests have no answer yet. */
export class BodyRoom {
  private readonly bytesMax: number
  private taken = 0
  /** Called when there is no room. It may close connections whose body makes no progress. */
  onFull: () => void = () => {}

  constructor(bytesMax: number = limits.httpBodyBytesMax) {
    this.bytesMax = bytesMax
  }

  /** Whether there is room for `bytes` more. */
  fits(bytes: number): boolean {
    if (this.taken + bytes <= this.bytesMax) return true
    this.onFull()
    return this.taken + bytes <= this.bytesMax
  }

  /** Takes `bytes` if there is room for them. */
  take(bytes: number): boolean {
    if (!this.fits(bytes)) return false
    this.taken += bytes
    return true
  }

  give(bytes: number): void {
    this.taken -= bytes
  }
}

/** The error of a request that was refused before anything was done with it. */
export function bodiesOverload(): RequestError {
  return new RequestError(
    'overloaded',
    'this node has no room for the body of another request; nothing was done, try again later',
  )
}
