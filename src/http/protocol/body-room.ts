import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'

/** The bodies of requests that are in memory: those that are arriving, and those whose requests are not answered. */
export class BodyRoom {
  private readonly bytesMax: number
  private taken = 0
  /** Called when there is no room: may end connections on which a body stands still. */
  onFull: () => void = () => {}

  constructor(bytesMax: number = limits.httpBodyBytesMax) {
    this.bytesMax = bytesMax
  }

  /** Whether `bytes` more have room. */
  fits(bytes: number): boolean {
    if (this.taken + bytes <= this.bytesMax) return true
    this.onFull()
    return this.taken + bytes <= this.bytesMax
  }

  /** Takes `bytes` if they have room. */
  take(bytes: number): boolean {
    if (!this.fits(bytes)) return false
    this.taken += bytes
    return true
  }

  give(bytes: number): void {
    this.taken -= bytes
  }
}

/** Nothing was done with the request. */
export function bodiesOverload(): RequestError {
  return new RequestError(
    'overloaded',
    'the bodies of the requests in hand leave no room for this one on this node; nothing was done with it, try again later',
  )
}
