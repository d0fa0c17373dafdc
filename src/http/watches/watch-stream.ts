import { Readable } from 'node:stream'
import type { Watch, WatchItem } from '../../api/services.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { EventFormat } from './event-format.ts'
import type { EventTexts } from './event-texts.ts'

export interface WatchStreamOptions {
  readonly format: EventFormat
  readonly wantsPrevious: boolean
}

/**
 * What a watch tells, as text. Asks the watch for more only when its reader has taken nearly everything so far. An end of the watch is the
 * last event, and not a broken connection.
 *
 * The watch is closed at the end, on a failure, and when the reader leaves. Emits `last` when the last event is in the stream; the reader may
 * be far behind then.
 */
export class WatchStream extends Readable {
  private readonly options: WatchStreamOptions
  private readonly watch: Watch
  private readonly cache: EventTexts
  /** What was taken from the watch and is not in the stream yet: whole events, and the rest of those that the stream has in part. */
  private texts: Iterator<Buffer> | null = null
  private rest: Buffer | null = null
  private isReading = false
  private hasLast = false

  constructor(options: WatchStreamOptions, watch: Watch, cache: EventTexts) {
    super({ highWaterMark: limits.watchTakeBytesMax })
    this.options = options
    this.watch = watch
    this.cache = cache
  }

  /** The last event is in the stream. */
  get isEnding(): boolean {
    return this.hasLast
  }

  /** Shows that the stream lives, unless it is in the middle of something, which shows that as well. */
  say(comment: string): void {
    if (this.texts === null && !this.hasLast && !this.destroyed) this.push(comment)
  }

  /** The last event says why. One that was begun is finished before it: half an event could not be told from a whole one. */
  cutOff(error: RequestError): void {
    if (this.hasLast || this.destroyed) return
    this.hasLast = true
    if (this.rest !== null) this.push(this.rest)
    this.push(this.options.format.problem(error))
    this.push(null)
    this.watch.close()
    this.emit('last')
  }

  override _read(): void {
    if (this.isReading || this.hasLast) return
    this.isReading = true
    void this.fill()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.watch.close()
    callback(error)
  }

  /** Never rejects. */
  private async fill(): Promise<void> {
    try {
      for (;;) {
        if (this.texts === null) this.texts = this.textsOf(await this.watch.next(limits.watchTakeBytesMax))
        if (this.hasLast || this.destroyed || !this.pushTexts(this.texts)) break
      }
    } catch (error) {
      if (error instanceof RequestError) this.cutOff(error)
      else this.destroy(error instanceof Error ? error : new Error('the watch failed', { cause: error }))
    }
    this.isReading = false
  }

  /** In parts, so that it shows how much the reader takes. Returns whether it wants more. */
  private pushTexts(texts: Iterator<Buffer>): boolean {
    for (;;) {
      const text = this.rest ?? texts.next().value
      if (text === undefined) break
      const part = text.subarray(0, limits.httpAnswerPieceBytes)
      this.rest = part.length < text.length ? text.subarray(part.length) : null
      if (!this.push(part)) return false
    }
    this.texts = null
    return true
  }

  /** Small events together. */
  private *textsOf(items: readonly WatchItem[]): Generator<Buffer, undefined> {
    let small: Buffer[] = []
    let bytes = 0
    for (const text of this.eventsOf(items)) {
      small.push(text)
      bytes += text.length
      if (bytes < limits.httpAnswerPieceBytes) continue
      yield joined(small)
      small = []
      bytes = 0
    }
    if (bytes > 0) yield joined(small)
  }

  private *eventsOf(items: readonly WatchItem[]): Generator<Buffer, void> {
    const { format, wantsPrevious } = this.options
    for (const item of items) {
      if (item.type === 'progress') {
        yield Buffer.from(format.progress(item.revision))
        continue
      }
      const { revision, changes } = item
      const last = changes.length - 1
      for (const [at, change] of changes.entries()) {
        yield this.cache.of(format, { revision, change, isLast: at === last, wantsPrevious })
      }
    }
  }
}

/** One text is handed on as it is: others may be given the same. */
function joined(texts: readonly Buffer[]): Buffer {
  const [first] = texts
  return texts.length === 1 && first !== undefined ? first : Buffer.concat(texts)
}
