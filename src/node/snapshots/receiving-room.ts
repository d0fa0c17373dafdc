import { limits } from '../../limits.ts'
import type { DiskUsage } from '../options.ts'
import { StateStreamError } from './state-stream.ts'

/**
 * How much of a state may be received: not much more than its sender announced, and not so much that the disk fills up. The sender
 * announces the size of the state on its disk, where keys that begin alike take less space than in the stream.
 */
export class ReceivingRoom {
  private readonly announced: number
  private readonly diskUsage: (() => Promise<DiskUsage>) | undefined
  private readonly bytesMax: number
  private taken = 0
  private checkAt = limits.snapshotDiskCheckBytes

  constructor(announced: number, diskUsage: (() => Promise<DiskUsage>) | undefined) {
    this.announced = announced
    this.diskUsage = diskUsage
    this.bytesMax = announced * limits.snapshotEstimateFactor + limits.snapshotEstimateSlackBytes
  }

  /** Why the announced state does not fit; null when it does. */
  async shortage(): Promise<string | null> {
    const free = (await this.diskUsage?.())?.freeBytes ?? Infinity
    if (free - this.announced >= limits.snapshotDiskReserveBytes) return null
    return `${this.announced} bytes are announced, but only ${free} are free on the disk, of which ${limits.snapshotDiskReserveBytes} are reserved: free some space`
  }

  /** Throws `StateStreamError` when the next `bytes` are too many. */
  async take(bytes: number): Promise<void> {
    this.taken += bytes
    if (this.taken > this.bytesMax) {
      throw new StateStreamError(
        `more than ${this.bytesMax} bytes arrived, but only about ${this.announced} were announced`,
      )
    }
    if (this.taken < this.checkAt) return
    this.checkAt = this.taken + limits.snapshotDiskCheckBytes
    const free = (await this.diskUsage?.())?.freeBytes ?? Infinity
    if (free < limits.snapshotDiskReserveBytes) {
      throw new StateStreamError(`only ${free} bytes are free on the disk: free some space`)
    }
  }
}
