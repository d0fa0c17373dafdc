import type { Terminal } from './terminal.ts'

const EVERY_MS = 500
const LINE_FEED = 0x0a
/** Moves to the beginning of the line, and clears it. */
const CLEAR = '\r\u001b[2K'

type ErrorTerminal = Pick<Terminal, 'interactiveErrors' | 'printError'>

export interface ProgressOptions {
  readonly isShown: boolean
  /** Whether each line is a record. */
  readonly hasRecords: boolean
  /** How long the stream is, if that is known. */
  readonly bytesMax?: number | null
  /** `bytesMax` is an estimate. */
  readonly isEstimate?: boolean
  /** Monotonic milliseconds. */
  readonly now?: () => number
}

/** Counts a stream, and its records, and tells a person at the terminal how far it is. */
export class StreamProgress {
  records = 0
  bytes = 0
  private readonly terminal: ErrorTerminal
  private readonly options: ProgressOptions
  private readonly isShown: boolean
  private readonly now: () => number
  private readonly startedAt: number
  private shownAt: number

  constructor(terminal: ErrorTerminal, options: ProgressOptions) {
    this.terminal = terminal
    this.options = options
    this.isShown = options.isShown && terminal.interactiveErrors
    this.now = options.now ?? (() => performance.now())
    this.startedAt = this.now()
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
    if (this.options.hasRecords) {
      for (let at = piece.indexOf(LINE_FEED); at >= 0; at = piece.indexOf(LINE_FEED, at + 1)) this.records += 1
    }
    if (!this.isShown || this.now() - this.shownAt < EVERY_MS) return
    this.shownAt = this.now()
    this.terminal.printError(`${CLEAR}${this.text()}`)
  }

  private text(): string {
    const { hasRecords, bytesMax = null, isEstimate = false } = this.options
    const seconds = (this.now() - this.startedAt) / 1000
    const about = isEstimate ? 'about ' : ''
    const part = bytesMax === null ? '' : ` of ${about}${megabytes(bytesMax)}`
    const rate = `${megabytes(this.bytes / seconds)}/s`
    if (!hasRecords) return `${megabytes(this.bytes)}${part}, ${rate}`
    return `${this.records} records, ${megabytes(this.bytes)}${part}, ${Math.round(this.records / seconds)} records/s, ${rate}`
  }
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
