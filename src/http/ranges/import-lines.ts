import { Gathering } from '../protocol/gathering.ts'
import { issuesError } from '../protocol/query.ts'

const LINE_FEED = 0x0a
const NOTHING = Buffer.alloc(0)
/** What some editors begin a file with; bodies of JSON may begin with it too. */
const BYTE_ORDER_MARK = Buffer.from('\ufeff')

/** A line of the stream, without its end. `number` counts from 1. */
export interface ImportLine {
  readonly number: number
  readonly bytes: Buffer
}

/** Cuts a stream of bytes into lines. It holds one incomplete line, up to a maximum. */
export class ImportLines {
  private readonly bytesMax: number
  private readonly rest = new Gathering()
  private count = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  /** The lines that end in `piece`, the next bytes of the stream. Throws a `RequestError` when one is too long. */
  *linesIn(piece: Buffer): Generator<ImportLine> {
    let start = 0
    for (let end = piece.indexOf(LINE_FEED); end >= 0; end = piece.indexOf(LINE_FEED, start)) {
      yield this.lineEnding(piece.subarray(start, end))
      start = end + 1
    }
    if (start < piece.length) this.hold(piece.subarray(start))
  }

  /** What follows the last line feed, if anything does: a line too. */
  *last(): Generator<ImportLine> {
    if (this.rest.bytes > 0) yield this.lineEnding(NOTHING)
  }

  private lineEnding(end: Buffer): ImportLine {
    const bytes = this.completed(end)
    this.count += 1
    const isMarked = this.count === 1 && bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)
    return { number: this.count, bytes: isMarked ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes }
  }

  private completed(end: Buffer): Buffer {
    if (this.rest.bytes === 0) {
      this.checkLength(end.length)
      return end
    }
    this.hold(end)
    return this.rest.take()
  }

  private hold(bytes: Buffer): void {
    this.checkLength(this.rest.bytes + bytes.length)
    this.rest.add(bytes)
  }

  private checkLength(bytes: number): void {
    if (bytes > this.bytesMax) {
      const path = `line/${this.count + 1}`
      const message = `is longer than ${this.bytesMax} bytes, which is more than any record needs`
      throw issuesError('request-too-large', [{ path, message }], { limitBytes: this.bytesMax })
    }
  }
}
