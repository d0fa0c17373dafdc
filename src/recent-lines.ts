import type { LogTail } from './api/diagnostics.ts'

export interface RecentLinesOptions {
  /** Bytes of all lines. */
  readonly bytesMax: number
  /** A longer line is kept without its facts. At most `bytesMax`. */
  readonly lineBytesMax: number
}

/** How much is kept of the message of a line that is too long. */
const messageCharactersMax = 1_000

/** The last lines of the log in memory, for whoever asks the node for them. They are JSON, also where people read text. */
export class RecentLines implements LogTail {
  private readonly options: RecentLinesOptions
  private readonly kept: { readonly line: string; readonly bytes: number }[] = []
  private bytes = 0
  private forgottenInAll = 0

  constructor(options: RecentLinesOptions) {
    this.options = options
  }

  get lines(): readonly string[] {
    return this.kept.map(({ line }) => line)
  }

  get forgotten(): number {
    return this.forgottenInAll
  }

  /** `written`: a JSON object and a line break. */
  add(written: string): void {
    const { bytesMax, lineBytesMax } = this.options
    const whole = written.trimEnd()
    const wholeBytes = Buffer.byteLength(whole)
    const line = wholeBytes <= lineBytesMax ? whole : withoutFacts(whole, wholeBytes)
    const bytes = line === whole ? wholeBytes : Buffer.byteLength(line)
    this.kept.push({ line, bytes })
    this.bytes += bytes
    while (this.bytes > bytesMax) {
      this.bytes -= this.kept.shift()?.bytes ?? 0
      this.forgottenInAll += 1
    }
  }
}

function withoutFacts(line: string, lineBytes: number): string {
  const { level, time, node, msg } = JSON.parse(line) as Readonly<Record<string, unknown>>
  return JSON.stringify({ level, time, node, msg: String(msg).slice(0, messageCharactersMax), lineBytes })
}
