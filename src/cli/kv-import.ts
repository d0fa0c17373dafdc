import { randomUUID } from 'node:crypto'
import { open } from 'node:fs/promises'
import { AmbiguousOutcomeError, ConnectionError, ProblemError } from '../client/errors.ts'
import { limits } from '../limits.ts'
import { toError } from '../lib/to-error.ts'
import { shown, withClient, type ConnectionOptions } from './connection.ts'
import { StreamProgress } from './stream-progress.ts'
import { UsageError, type Terminal } from './terminal.ts'

export interface ImportOptions extends ConnectionOptions {
  readonly idempotencyKey?: string
}

interface Source {
  readonly pieces: AsyncIterable<Uint8Array>
  readonly bytes: number | null
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
  const progress = new StreamProgress(terminal, { isShown: true, hasRecords: true, bytesMax: source.bytes })
  let failure: unknown = null
  const code = await withClient(terminal, options, async (client) => {
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
  })
  if (options.json !== true) terminal.printError(adviceAfter(failure, source, name))
  return code
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
    if (!terminal.hasInput)
      throw new UsageError('there are no records: name a file, or give them on the standard input')
    return { pieces: terminal.input(), bytes: null, file: null }
  }
  const handle = await open(file).catch((error: unknown) => unreadable(file, error))
  const { size } = await handle.stat()
  const pieces = handle.createReadStream({ highWaterMark: limits.clientPieceBytes }) as AsyncIterable<Uint8Array>
  return { pieces: readable(file, pieces), bytes: size, file: shown(file) }
}

async function* readable(file: string, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces
  } catch (error) {
    unreadable(file, error)
  }
}

function unreadable(file: string, error: unknown): never {
  throw new UsageError(`${shown(file)}: ${toError(error).message}`)
}

/** How to go on: with the same records under the same name, or from a line on. */
function adviceAfter(failure: unknown, { file }: Source, name: string): string {
  const cause = failure instanceof AmbiguousOutcomeError ? failure.cause : failure
  if (cause instanceof ConnectionError) return cause.refused ? '' : repeatAdvice(name)
  if (!(cause instanceof ProblemError)) return ''
  const { nextLine } = cause.problem
  if (typeof nextLine !== 'number') return ''
  const rest = file === null ? '' : `  Or go on without it: tail -n +${nextLine} ${file} | quorate kv import -\n`
  return `${repeatAdvice(name)}${rest}`
}

function repeatAdvice(name: string): string {
  return `  Nothing is written twice if the same records are imported again with --idempotency-key ${name}\n`
}
