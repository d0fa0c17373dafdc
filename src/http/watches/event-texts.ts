import type { Change } from '../../kv/index.ts'
import type { ChangeText, EventFormat } from './event-format.ts'

/** The ways in which one change may be told; in each, its text. */
type TextsOfChange = Map<string, Buffer>

/** The text of changes, made once for all watchers that are told of them. Of a bounded size: beyond it, texts are made anew. */
export class EventTexts {
  private readonly bytesMax: number
  private texts = new WeakMap<Change, TextsOfChange>()
  private bytes = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  of(format: EventFormat, text: ChangeText): Buffer {
    const way = `${format.mediaType} ${text.isLast} ${text.wantsPrevious}`
    const known = this.texts.get(text.change)?.get(way)
    if (known !== undefined) return known
    const made = Buffer.from(format.change(text))
    this.keep(text.change, way, made)
    return made
  }

  private keep(change: Change, way: string, text: Buffer): void {
    if (text.length > this.bytesMax / 8) return
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
