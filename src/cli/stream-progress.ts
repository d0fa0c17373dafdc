import type { Terminal } from './terminal.ts'

const EVERY_MS = 500
const LINE_FEED = 0x0a
/** Moves to the beginning of the line, and clears it. */
const CLEAR = '\r\u001b[2K'

type ErrorTerminal = Pick<Terminal, 'interactiveErrors' | 'printError'>

/** Counts the records of a stream, and tells a person at the terminal how far it is. */
export class StreamProgress {
  records = 0
  bytes = 0
  private readonly terminal: ErrorTerminal
  private readonly isShown: boolean
  private readonly bytesMax: number | null
  private readonly now: () => number
  private readonly startedAt: number
  private shownAt: number

  /** `bytesMax`: how long the stream is, if that is known. `now`: monotonic milliseconds. */
  constructor(
    terminal: ErrorTerminal,
    isShown: boolean,
    bytesMax: number | null = null,
    now = () => performance.now(),
  ) {
    this.terminal = terminal
    this.isShown = isShown && terminal.interactiveErrors
    this.bytesMax = bytesMax
    this.now = now
    this.startedAt = now()
    this.shownAt = this.startedAt
  }

  /** The same pieces, counted as they pass. */
  async *counted(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      this.count(piece)
      yield piece
    }
  }

  /** Nothing of it stays on the terminal. */
  end(): void {
    if (this.isShown && this.shownAt > this.startedAt) this.terminal.printError(CLEAR)
  }

  private count(piece: Uint8Array): void {
    this.bytes += piece.length
    for (let at = piece.indexOf(LINE_FEED); at >= 0; at = piece.indexOf(LINE_FEED, at + 1)) this.records += 1
    if (!this.isShown || this.now() - this.shownAt < EVERY_MS) return
    this.shownAt = this.now()
    this.terminal.printError(`${CLEAR}${this.text()}`)
  }

  private text(): string {
    const seconds = (this.now() - this.startedAt) / 1000
    const part = this.bytesMax === null ? '' : ` of ${megabytes(this.bytesMax)}`
    const rates = `${Math.round(this.records / seconds)} records/s, ${megabytes(this.bytes / seconds)}/s`
    return `${this.records} records, ${megabytes(this.bytes)}${part}, ${rates}`
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
