import type { Change } from '../../kv/index.ts'
import type { ChangeText, EventFormat } from './event-format.ts'

/** The ways in which one change may be told; in each, its text. */
type TextsOfChange = Map<string, Buffer>

/**
 * The text of changes, made once for all watchers that are told of them. Of a bounded size: beyond it, texts are made anew. Large ones are not kept, but
 * shared for as long as any watcher is being told of them.
 */
export class EventTexts {
  private readonly bytesMax: number
  private texts = new WeakMap<Change, TextsOfChange>()
  private bytes = 0
  /** By the memory of a text: streams that have sent a part of it hold only views of that memory. */
  private readonly large = new WeakMap<Change, Map<string, WeakRef<ArrayBufferLike>>>()

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  of(format: EventFormat, text: ChangeText): Buffer {
    const way = `${format.mediaType} ${text.isLast} ${text.wantsPrevious}`
    const known = this.texts.get(text.change)?.get(way) ?? this.sharedOf(text.change, way)
    if (known !== null) return known
    const made = Buffer.from(format.change(text))
    if (made.length > this.bytesMax / 8) this.share(text.change, way, made)
    else this.keep(text.change, way, made)
    return made
  }

  private sharedOf(change: Change, way: string): Buffer | null {
    const memory = this.large.get(change)?.get(way)?.deref()
    return memory === undefined ? null : Buffer.from(memory)
  }

  private share(change: Change, way: string, { buffer, length }: Buffer): void {
    // Otherwise it lies among others.
    if (buffer.byteLength !== length) return
    const ways = this.large.get(change)
    if (ways === undefined) this.large.set(change, new Map([[way, new WeakRef(buffer)]]))
    else ways.set(way, new WeakRef(buffer))
  }

  private keep(change: Change, way: string, text: Buffer): void {
    this.bytes += text.length
    if (this.bytes > this.bytesMax) {
      this.texts = new WeakMap()
      this.bytes = text.length
    }
    const ways = this.texts.get(change)
    if (ways === undefined) this.texts.set(change, new Map([[way, text]]))
    else ways.set(way, text)
  }
}
