import type { FrameGate } from './frame-splitter.ts'

/** A connection that holds room in the budget. */
export interface Holder {
  readonly isMember: () => boolean
  /** There may now be room for the frame that waits. */
  readonly recheck: () => void
  readonly evict: () => void
}

/**
 * Memory for incomplete frames over all incoming connections: a header of twelve bytes announces up to 32 MiB. A frame gets its
 * room before its bytes are read, so frames that are arriving never wait for one another. Members have precedence: the
 * connections of other nodes give way.
 */
export class IncomingBudget {
  private readonly bytesMax: number
  private readonly held = new Map<Holder, number>()
  private readonly waiting = new Set<Holder>()
  private total = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  gateOf(holder: Holder): FrameGate {
    return { reserve: (bytes) => this.reserve(holder, bytes), release: () => this.release(holder) }
  }

  /** The connection is closed; its room is free again. */
  drop(holder: Holder): void {
    this.waiting.delete(holder)
    this.release(holder)
  }

  private reserve(holder: Holder, bytes: number): boolean {
    if (!this.fits(bytes) && holder.isMember()) this.evictFor(bytes)
    if (!this.fits(bytes)) {
      this.waiting.add(holder)
      return false
    }
    this.waiting.delete(holder)
    this.held.set(holder, bytes)
    this.total += bytes
    return true
  }

  private fits(bytes: number): boolean {
    return this.total === 0 || this.total + bytes <= this.bytesMax
  }

  private evictFor(bytes: number): void {
    for (const holder of this.held.keys()) {
      if (this.fits(bytes)) return
      if (holder.isMember()) continue
      this.forget(holder)
      holder.evict()
    }
  }

  private release(holder: Holder): void {
    if (!this.forget(holder)) return
    const waiting = [...this.waiting]
    for (const other of waiting) if (other.isMember()) other.recheck()
    for (const other of waiting) if (!other.isMember()) other.recheck()
  }

  private forget(holder: Holder): boolean {
    this.total -= this.held.get(holder) ?? 0
    return this.held.delete(holder)
  }
}
