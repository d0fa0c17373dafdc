import { BackupError, checkBackup, type BackupSummary } from '../backup.ts'
import { StorageError } from '../lib/errors.ts'
import { toError } from '../lib/to-error.ts'
import { openBackup, printStorageError, printUnusable } from './backup-file.ts'
import { describeConfigs, describeLogId } from './cluster-status.ts'
import { withClient, type ConnectionOptions } from './connection.ts'
import { isStandardOutput } from './output-place.ts'
import { PartFile, unwritable } from './part-file.ts'
import { megabytes, StreamProgress } from './stream-progress.ts'
import { formatFacts, printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface BackupOptions extends ConnectionOptions {
  readonly stale?: true
}

export interface VerifyOptions {
  readonly json?: true
}

/** The output of a command is lost, as opposed to its input. */
class OutputError extends Error {}

interface Target {
  write(piece: Uint8Array): Promise<void>
}

/** Writes a backup to `file`, or to the standard output. A file gets its name once it is checked and on the disk. */
export async function backup(terminal: Terminal, file: string | undefined, options: BackupOptions): Promise<number> {
  if (file === undefined) throw new UsageError('name the file to write, or - for the standard output')
  const isPrinted = await isStandardOutput(file)
  if (isPrinted && terminal.interactive)
    throw new UsageError('-: a backup is not for a terminal; send it to a file or a pipe')
  const target = isPrinted ? null : await PartFile.create(terminal, file, 0o600)
  if (isPrinted) terminal.needOutput()
  const outcome: { failure: Error | null } = { failure: null }
  try {
    const code = await withClient(terminal, options, async (client) => {
      const consistency = options.stale === true ? 'stale' : 'linearizable'
      const { pieces, bytesEstimate } = await client.cluster.backup({ consistency })
      const progress = new StreamProgress(terminal, {
        isShown: true,
        hasRecords: false,
        bytesMax: bytesEstimate,
        isEstimate: true,
      })
      const to = target ?? { write: (piece) => terminal.printPiece(piece) }
      try {
        const summary = await checkBackup(copied(progress.counted(pieces), to)).finally(() => progress.end())
        const failure = (await target?.finish()) ?? null
        if (failure !== null) throw new OutputError(failure.message)
        printTaken(terminal, file, isPrinted, summary, options)
      } catch (error) {
        if (!(error instanceof BackupError || error instanceof OutputError)) throw error
        outcome.failure = error
      }
    })
    const { failure } = outcome
    if (failure === null) return code
    if (failure instanceof BackupError) return printUnusable(terminal, options, 'what the node has sent', failure)
    terminal.printError(`quorate: ${unwritable(file, failure)}\n`)
    return exitCodes.outputLost
  } finally {
    await target?.abandon()
  }
}

/** Each piece, once `target` has it. */
async function* copied(pieces: AsyncIterable<Uint8Array>, target: Target): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    await target.write(piece).catch((error: unknown) => {
      throw new OutputError(toError(error).message)
    })
    yield piece
  }
}

/** When the backup itself is the output, what is said of it goes to the other one. */
function printTaken(
  terminal: Terminal,
  file: string,
  isPrinted: boolean,
  summary: BackupSummary,
  { json }: BackupOptions,
): void {
  const { clusterId, revision, keys, bytes } = summary
  const text =
    json === true
      ? `${JSON.stringify({ file, ...summary })}\n`
      : `${keys} keys at revision ${revision} of cluster ${printable(clusterId)}, ${megabytes(bytes)}\n`
  if (isPrinted) terminal.printError(text)
  else terminal.print(text)
}

/** Reads a backup to its end and says what is in it, or why it is of no use. */
export async function verify(terminal: Terminal, file: string, options: VerifyOptions): Promise<number> {
  const source = await openBackup(terminal, file)
  const progress = new StreamProgress(terminal, { isShown: true, hasRecords: false, bytesMax: source.bytes })
  try {
    const summary = await checkBackup(progress.counted(source.pieces)).finally(() => progress.end())
    terminal.print(options.json === true ? `${JSON.stringify({ file, ...summary })}\n` : describeBackup(summary))
    return exitCodes.stopped
  } catch (error) {
    if (error instanceof BackupError) return printUnusable(terminal, options, source.name, error)
    if (error instanceof StorageError) return printStorageError(terminal, options, error)
    throw error
  } finally {
    await source.close()
  }
}

export function describeBackup(summary: BackupSummary): string {
  const { clusterId, logId, revision, keys, leases, changes, membership, bytes, featureLevel, createdAt } = summary
  const { node, version, id, checksum } = summary
  return formatFacts([
    ['backup', printable(id)],
    ['cluster', printable(clusterId)],
    ['taken', `${printable(createdAt)} from node ${node}, version ${printable(version)}`],
    ['last entry', describeLogId(logId)],
    ['revision', String(revision)],
    ['keys', String(keys)],
    ['leases', String(leases)],
    ['history', `${changes} changes`],
    ['voters then', describeConfigs(membership.configs)],
    ['feature level', String(featureLevel)],
    ['size', `${bytes} bytes`],
    ['checksum', checksum],
  ])
}
