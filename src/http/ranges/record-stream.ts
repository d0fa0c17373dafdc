import { Readable } from 'node:stream'
import { limits } from '../../limits.ts'
import { stepOf } from '../../lib/stages.ts'
import type { Caller, Guard, KeyedRecord, Scan } from '../../api/services.ts'

export interface StreamReader {
  readonly caller: Caller | undefined
  /** Null: everybody may read this. */
  readonly guard: Guard | null
  /** Monotonic milliseconds. */
  readonly now: () => number
}

/**
 * The records of a scan, one JSON document on each line. Asks the scan for more only when the reader has taken everything so
 * far.
 *
 * The scan is closed exactly once, after its last `next` has returned: at the end, on a failure, and when the reader leaves,
 * even before it has read anything. It breaks off when its client may not read the range any more.
 */
export class RecordStream extends Readable {
  private readonly scan: Scan
  private readonly lineOf: (item: KeyedRecord) => string
  private readonly reader: StreamReader
  private reading: Promise<void> = Promise.resolve()

  constructor(scan: Scan, lineOf: (item: KeyedRecord) => string, reader: StreamReader) {
    super({ highWaterMark: limits.streamBytesMax })
    this.scan = scan
    this.lineOf = lineOf
    this.reader = reader
  }

  override _read(): void {
    this.reading = this.readPiece()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    void this.closeScan(error, callback)
  }

  private async closeScan(error: Error | null, callback: (error?: Error | null) => void): Promise<void> {
    let failure = error
    try {
      await this.reading
      await this.scan.close()
    } catch (closing) {
      failure ??= closing instanceof Error ? closing : new Error('the scan did not close', { cause: closing })
    }
    callback(failure)
  }

  private async readPiece(): Promise<void> {
    try {
      let lines = ''
      let done = false
      while (lines.length === 0 && !done) {
        const { now, caller, guard } = this.reader
        const since = now()
        const piece = await this.scan.next(limits.streamRecordsMax, limits.streamBytesMax)
        caller?.onStep?.(stepOf('answer', now()), since)
        if (this.destroyed) return
        guard?.check()
        for (const item of piece.items) lines += `${this.lineOf(item)}\n`
        done = piece.done
      }
      if (lines.length > 0) this.push(lines)
      if (done) this.push(null)
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error('the scan failed', { cause: error }))
    }
  }
}
