import { toError } from '../lib/to-error.ts'
import { withClient, type ConnectionOptions } from './connection.ts'
import { consistencyFrom } from './kv.ts'
import { isStandardOutput } from './output-place.ts'
import { PartFile, unwritable } from './part-file.ts'
import { StreamProgress } from './stream-progress.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface ExportOptions extends ConnectionOptions {
  readonly prefix?: string
  readonly start?: string
  readonly end?: string
  readonly consistency?: string
}

/**
 * Writes a range of records to `file`, or to the standard output. A file gets its name once it is whole, and others may not read it: it holds the
 * data of the cluster.
 */
export async function exportRecords(
  terminal: Terminal,
  file: string | undefined,
  options: ExportOptions,
): Promise<number> {
  const { start, end } = options
  const prefix = options.prefix === '' ? undefined : options.prefix
  if (prefix !== undefined && (start !== undefined || end !== undefined)) {
    throw new UsageError('--prefix cannot be combined with --start or --end')
  }
  const consistency = consistencyFrom(options.consistency)
  const isPrinted = file === undefined || (await isStandardOutput(file))
  const target = isPrinted ? null : await PartFile.create(terminal, file, 0o600)
  if (isPrinted) terminal.needOutput()
  // Progress would be in between the records when both go to one terminal.
  const progress = new StreamProgress(terminal, {
    isShown: target !== null || !terminal.interactive,
    hasRecords: true,
  })
  const losses: Error[] = []
  try {
    const code = await withClient(terminal, options, async (client) => {
      const range = prefix === undefined ? { start, end } : { prefix }
      const { pieces, revision } = await client.exportLines(range, { consistency })
      const to = target ?? { write: (piece) => terminal.printPiece(piece) }
      const loss = await copy(progress.counted(pieces), to).finally(() => progress.end())
      const unfinished = loss ?? (await target?.finish()) ?? null
      if (unfinished !== null) losses.push(unfinished)
      else if (target !== null) terminal.print(summary(progress, revision, options))
    })
    const [loss] = losses
    if (loss === undefined) return code
    terminal.printError(`quorate: ${unwritable(file ?? '-', loss)}\n`)
    return exitCodes.outputLost
  } finally {
    await target?.abandon()
  }
}

function summary({ records: exported, bytes }: StreamProgress, revision: number, { json }: ExportOptions): string {
  return json === true
    ? `${JSON.stringify({ exported, bytes, revision })}\n`
    : `${exported} exported, revision ${revision}\n`
}

interface Target {
  write(piece: Uint8Array): Promise<void>
}

/** Returns the failure of `target`; that of `pieces` is thrown. */
async function copy(pieces: AsyncIterable<Uint8Array>, target: Target): Promise<Error | null> {
  for await (const piece of pieces) {
    try {
      await target.write(piece)
    } catch (error) {
      return toError(error)
    }
  }
  return null
}
