import { join } from 'node:path'
import { assert } from '../../lib/assert.ts'
import type { LogIndex } from '../../raft/index.ts'
import { storageFault } from '../fault.ts'
import type { LogFiles } from './files.ts'
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentName } from './format.ts'

const ZEROS = Buffer.alloc(4 * 1024 * 1024)
const FILL_SYNC_BYTES = 16 * 1024 * 1024

/** One file of the log, allocated in full before its first record. */
export class Segment {
  readonly number: number
  readonly fd: number
  readonly size: number
  /** Where the next record goes. */
  tail = SEGMENT_HEADER_BYTES
  /** The end of the log when this segment began: all that lies in earlier segments is at or below. */
  baseIndex = -1 as LogIndex
  private readers = 0
  private onIdle: (() => void) | null = null

  constructor(number: number, fd: number, size: number) {
    this.number = number
    this.fd = fd
    this.size = size
  }

  fits(bytes: number): boolean {
    return this.tail + bytes <= this.size
  }

  /** Keeps the file from being recycled or closed until `endRead`. */
  beginRead(): void {
    this.readers += 1
  }

  endRead(): void {
    this.readers -= 1
    if (this.readers === 0) this.onIdle?.()
  }

  /** Resolves once nobody reads. */
  async idle(): Promise<void> {
    if (this.readers > 0) await new Promise<void>((resolve) => (this.onIdle = resolve))
  }
}

export interface SegmentStockOptions {
  readonly directory: string
  readonly segmentBytes: number
  readonly uuid: Buffer
}

export interface SegmentStockDependencies {
  readonly files: LogFiles
  /** A finding for the log. Nothing that needs an answer. */
  readonly onFinding: (finding: string) => void
}

/** Makes segments ahead of their use, out of freed ones where it can, so that the log does not wait for the disk to fill them. */
export class SegmentStock {
  private readonly options: SegmentStockOptions
  private readonly files: LogFiles
  private readonly onFinding: (finding: string) => void
  /** A segment ready for use, or on its way. Null after a failure. */
  private next: Promise<Segment | null> | null = null
  /** A freed segment whose file can become another one. At most one is kept. */
  private freed: Segment | null = null
  /** Segments that are being freed, one after the other. */
  private freeing: Promise<void> = Promise.resolve()
  private stopped = false
  private heldBytes = 0

  constructor(options: SegmentStockOptions, dependencies: SegmentStockDependencies) {
    this.options = options
    this.files = dependencies.files
    this.onFinding = dependencies.onFinding
  }

  /** Bytes of the files that are not in use. */
  get sizeBytes(): number {
    return this.heldBytes
  }

  /** Gives back a segment that was found ready when the log was opened. */
  adopt(segment: Segment): void {
    assert(this.next === null, 'one segment is kept ready')
    this.hold(segment)
    this.next = Promise.resolve(segment)
  }

  /** Begins to make segment `number`. A failure is told, and tried again when the segment is needed: there may be room by then. */
  prepare(number: number): void {
    if (this.next !== null || this.stopped) return
    this.next = this.make(number, this.options.segmentBytes).then(
      (segment) => {
        this.hold(segment)
        return segment
      },
      (error: unknown) => {
        if (this.stopped) return null
        this.onFinding(
          `The next log segment could not be made ahead of time. ${storageFault(error, 'make it').message}`,
        )
        return null
      },
    )
  }

  /** Segment `number`, empty, with room for at least `bytes` of records. */
  async take(number: number, bytes: number): Promise<Segment> {
    const ready = await (this.next ?? null)
    this.next = null
    if (ready !== null) {
      this.heldBytes -= ready.size
      if (ready.number === number && ready.fits(bytes)) return ready
      await this.remove(ready, segmentName(ready.number))
    }
    try {
      return await this.make(number, Math.max(this.options.segmentBytes, SEGMENT_HEADER_BYTES + bytes))
    } catch (error) {
      throw storageFault(error, `make log segment ${segmentName(number)} in ${this.options.directory}`)
    }
  }

  /**
   * Frees `segment`, which nothing refers to any more: its file is kept for the next one or removed. Goes on in the background, one
   * after the other, and ends with the first error, so that what is left on the disk never has a gap.
   */
  retire(segment: Segment, onFault: (error: Error) => void): void {
    this.heldBytes += segment.size
    this.freeing = this.freeing
      .then(async () => this.free(segment))
      .catch((error: unknown) => {
        this.stopped = true
        onFault(storageFault(error, `free log segment ${segmentName(segment.number)}`))
      })
  }

  /** Resolves once no work goes on in the background. A segment on its way is given up. */
  async stop(): Promise<void> {
    this.stopped = true
    await this.freeing
    await (this.next ?? null)
  }

  private async free(segment: Segment): Promise<void> {
    await segment.idle()
    // What is left is freed after the next opening.
    if (this.stopped) return
    const name = segmentName(segment.number)
    const isKept = this.freed === null && segment.size === this.options.segmentBytes
    if (isKept) {
      await this.files.rename(this.path(name), this.path(freedName(segment.number)))
    } else {
      await this.remove(segment, name)
      this.heldBytes -= segment.size
    }
    // Names disappear in their order, also in a power cut; and the old name is gone before the file gets another number.
    await this.files.syncDirectory(this.options.directory)
    if (isKept) this.freed = segment
  }

  private hold(segment: Segment): void {
    this.heldBytes += segment.size
  }

  private async make(number: number, size: number): Promise<Segment> {
    const { freed } = this
    if (freed !== null && freed.size === size) {
      this.freed = null
      this.heldBytes -= freed.size
      return this.recycle(freed, number)
    }
    return this.create(number, size)
  }

  /** Header and name change while the file lies under a name that an opening removes, so that they never contradict each other. */
  private async recycle(freed: Segment, number: number): Promise<Segment> {
    await this.files.write(freed.fd, [encodeSegmentHeader(this.options.uuid, number)], 0)
    await this.publish(freedName(freed.number), number)
    return new Segment(number, freed.fd, freed.size)
  }

  private async create(number: number, size: number): Promise<Segment> {
    const temporary = `${segmentName(number)}.tmp`
    const fd = await this.files.open(this.path(temporary), 'new')
    try {
      await this.fill(this.path(temporary), size)
      await this.files.write(fd, [encodeSegmentHeader(this.options.uuid, number)], 0)
      await this.publish(temporary, number)
      return new Segment(number, fd, size)
    } catch (error) {
      await this.files.close(fd)
      // Gives the space back at once; if even that fails, the next opening removes the file.
      await this.files.remove(this.path(temporary)).catch(() => undefined)
      throw error
    }
  }

  /**
   * Fills the file with zeros, so that its blocks exist and a full disk shows here and not in the middle of a write. Synced in few
   * pieces: each sync of new blocks makes the file system commit what others have written too.
   */
  private async fill(path: string, size: number): Promise<void> {
    const fd = await this.files.openUnsynced(path)
    try {
      for (let at = 0; at < size; at += ZEROS.length) {
        if (this.stopped) throw new Error('the log is being closed')
        await this.files.write(fd, [ZEROS.subarray(0, Math.min(ZEROS.length, size - at))], at)
        const isPieceDone = (at + ZEROS.length) % FILL_SYNC_BYTES === 0 || at + ZEROS.length >= size
        if (isPieceDone) await this.files.sync(fd)
      }
    } finally {
      await this.files.close(fd)
    }
  }

  private async publish(temporary: string, number: number): Promise<void> {
    await this.files.rename(this.path(temporary), this.path(segmentName(number)))
    await this.files.syncDirectory(this.options.directory)
  }

  private async remove(segment: Segment, name: string): Promise<void> {
    await this.files.close(segment.fd)
    await this.files.remove(this.path(name))
  }

  private path(name: string): string {
    return join(this.options.directory, name)
  }
}

/** The name of a freed segment's file. It ends like every file that an opening removes. */
function freedName(number: number): string {
  return `${segmentName(number)}.freed.tmp`
}
