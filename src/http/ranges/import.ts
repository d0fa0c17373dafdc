import type { AnswerContext } from '../../api/services.ts'
import { failures, RequestError } from '../../lib/errors.ts'
import { toError } from '../../lib/to-error.ts'
import { ImportChunks, type ImportChunk } from './import-chunks.ts'
import { ImportLines, type ImportLine } from './import-lines.ts'
import { importLineBytesMax, importRecordIn } from './import-record.ts'
import type { ImportSender } from './import-sender.ts'
import type { ImportWrites } from './import-writes.ts'

export interface ImportOutcome {
  readonly imported: number
  readonly leasesDropped: number
  readonly revision: number
  /** What the answer to the last change said; null when there were no records. */
  readonly context: AnswerContext | null
}

/** So many lines are read in one turn of the event loop at most. */
const LINES_IN_TURN = 4_096

/**
 * Writes the records that a sender streams: reads its lines, gathers them into chunks, and has each chunk written as one change. It reads on
 * only when there is room for more changes.
 *
 * When it ends early, the records of whole chunks are in and nothing else: so a retry, also one in which the mistake is mended, has the same
 * chunks up to there.
 */
export class Import {
  private readonly valueBytesMax: number
  private readonly sender: Pick<ImportSender, 'next'>
  private readonly writes: ImportWrites
  private readonly lines: ImportLines
  private readonly chunks = new ImportChunks()
  /** The line that is read, or the next one to come. */
  private line = 1
  /** How many records so far named a lease. */
  private leased = 0

  constructor(valueBytesMax: number, sender: Pick<ImportSender, 'next'>, writes: ImportWrites) {
    this.valueBytesMax = valueBytesMax
    this.sender = sender
    this.writes = writes
    this.lines = new ImportLines(importLineBytesMax(valueBytesMax))
  }

  /** Throws a `RequestError` that tells what is in. */
  async run(): Promise<ImportOutcome> {
    const { writes } = this
    let failure: Error | null = null
    try {
      await this.readAll()
    } catch (error) {
      failure = toError(error)
    }
    await writes.settle()
    failure = writes.failure() ?? failure
    if (failure !== null) throw failure instanceof RequestError ? this.endedBy(failure) : failure
    const { imported, revision, context } = writes
    return { imported, revision, leasesDropped: this.leased, context }
  }

  private async readAll(): Promise<void> {
    const { sender, lines, writes } = this
    for (let piece = await sender.next(); piece !== null; piece = await sender.next()) {
      for (const line of lines.linesIn(piece)) {
        const chunk = this.chunkEndedBy(line)
        if (chunk !== null && !(await writes.begin(chunk))) return
        // Lines without records end no chunk.
        if (this.line % LINES_IN_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve))
      }
    }
    if (writes.hasFailed) return
    for (const line of lines.last()) {
      const chunk = this.chunkEndedBy(line)
      if (chunk !== null) await writes.begin(chunk)
    }
    const rest = this.chunks.take()
    if (rest !== null) await writes.begin(rest)
  }

  private chunkEndedBy(line: ImportLine): ImportChunk | null {
    const record = importRecordIn(line, this.valueBytesMax)
    this.line += 1
    if (record === null) return null
    if (record.isLeased) this.leased += 1
    return this.chunks.add(record)
  }

  /** Adds to `error` where the import ended, and what is in by then. */
  private endedBy(error: RequestError): RequestError {
    const { imported, revision, context } = this.writes
    const nextLine = this.writes.nextLine ?? this.chunks.firstLine ?? this.line
    const line = this.writes.nextLine ?? this.line
    const none = failures[error.code].ambiguous ? 'no record is surely in' : 'no record is in'
    const done = imported === 0 ? none : `${imported} records are in, up to revision ${revision}`
    const facts = { ...error.facts, line, imported, nextLine, ...(imported === 0 ? {} : { revision }) }
    const reflects = error.reflects ?? (context === null ? null : { ...context, revision })
    return new RequestError(error.code, `${error.message}; ${done}; go on at line ${nextLine}`, facts, reflects)
  }
}
