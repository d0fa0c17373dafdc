import { randomUUID } from 'node:crypto'
import { AmbiguousOutcomeError, ConnectionError, ProblemError } from '../client/errors.ts'
import { limits } from '../limits.ts'
import { shown, withClient, type ConnectionOptions } from './connection.ts'
import { shellWord } from './shell.ts'
import { openSource, standardInput, unreadable, type SourceFile } from './source-file.ts'
import { StreamProgress } from './stream-progress.ts'
import { UsageError, type Terminal } from './terminal.ts'

export interface ImportOptions extends ConnectionOptions {
  readonly idempotencyKey?: string
}

interface Source extends SourceFile {
  /** The file, as it is named in a shell; null: the standard input. */
  readonly file: string | null
}

/** Writes the records of `file`, or of the standard input. When that ends early, it says what is in and how to go on. */
export async function importRecords(
  terminal: Terminal,
  file: string | undefined,
  options: ImportOptions,
): Promise<number> {
  const name = nameFrom(options.idempotencyKey)
  const source = await sourceFrom(terminal, file)
  const stopTelling = terminal.beforeSignalEnds(() => {
    const document = { code: 'interrupted', detail: 'a signal has ended the import', idempotencyKey: name }
    terminal.printError(options.json === true ? `${JSON.stringify(document)}\n` : repeatAdvice(name))
  })
  try {
    const { code, failure } = await importFrom(terminal, source, name, options)
    if (options.json !== true) terminal.printError(adviceAfter(failure, source, name))
    return code
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    // The file broke off, and a part of it may be in.
    throw new UsageError(`${error.message}\n${repeatAdvice(name).trimEnd()}`)
  } finally {
    stopTelling()
    await source.close()
  }
}

async function importFrom(
  terminal: Terminal,
  source: Source,
  name: string,
  options: ImportOptions,
): Promise<{ readonly code: number; readonly failure: unknown }> {
  const progress = new StreamProgress(terminal, { isShown: true, hasRecords: true, bytesMax: source.bytes })
  let failure: unknown = null
  const code = await withClient(
    terminal,
    options,
    async (client) => {
      try {
        const pieces = progress.counted(source.pieces)
        const answer = await client.importLines(pieces, { idempotencyKey: name }).finally(() => progress.end())
        const text = `${answer.imported} imported, revision ${answer.revision}\n`
        terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : text)
        if (options.json !== true && answer.leasesDropped > 0)
          terminal.printError(`quorate: ${answer.leasesDropped} of them named a lease; they are attached to none\n`)
      } catch (error) {
        failure = error
        throw error
      }
    },
    { facts: { idempotencyKey: name } },
  )
  return { code, failure }
}

function nameFrom(given: string | undefined): string {
  if (given === undefined) return randomUUID()
  if (/^[\x21-\x7e]+$/.test(given) && given.length <= limits.idempotencyKeyBytesMax) return given
  throw new UsageError(
    `--idempotency-key ${shown(given)}: expected 1 to ${limits.idempotencyKeyBytesMax} visible ASCII characters`,
  )
}

async function sourceFrom(terminal: Terminal, file: string | undefined): Promise<Source> {
  if (file === undefined || file === '-') {
    const complaint = 'there are no records: name a file, or give them on the standard input'
    return { ...standardInput(terminal, complaint), file: null }
  }
  const source = await openSource(file)
  return {
    ...source,
    pieces: readable(file, source.pieces),
    file: shellWord(file.startsWith('-') ? `./${file}` : file),
  }
}

async function* readable(file: string, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces
  } catch (error) {
    throw unreadable(file, error)
  }
}

/** How to go on: with the same records under the same name, or from a line on. */
function adviceAfter(failure: unknown, { file }: Source, name: string): string {
  const isOpen = failure instanceof AmbiguousOutcomeError
  const cause = isOpen ? failure.cause : failure
  const nextLine = cause instanceof ProblemError ? cause.problem['nextLine'] : null
  if (typeof nextLine !== 'number') {
    const mayBeIn = isOpen || (cause instanceof ConnectionError && !cause.refused)
    return mayBeIn ? repeatAdvice(name) : ''
  }
  const rest = file === null ? '' : `  Or go on without it: tail -n +${nextLine} ${file} | quorate kv import -\n`
  return `${repeatAdvice(name)}${rest}`
}

function repeatAdvice(name: string): string {
  return `  Nothing is written twice if the same records are imported again with --idempotency-key ${name}\n`
}
