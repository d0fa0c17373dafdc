import { open, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { toError } from '../lib/to-error.ts'
import { shown, withClient, type ConnectionOptions } from './connection.ts'
import { consistencyFrom } from './kv.ts'
import { StreamProgress } from './stream-progress.ts'
import { printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface ExportOptions extends ConnectionOptions {
  readonly prefix?: string
  readonly start?: string
  readonly end?: string
  readonly consistency?: string
}

/** Writes a range of records to `file`, or to the standard output. A file gets its name once it is whole. */
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
  const target = file === undefined || file === '-' ? null : await PartFile.create(file)
  // Progress would be in between the records when both go to one terminal.
  const progress = new StreamProgress(terminal, target !== null || !terminal.interactive)
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
    terminal.printError(`quorate: ${shown(file ?? '-')}: ${printable(loss.message)}\n`)
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

/** A file under another name until it is whole. What is no file, such as a device or a pipe, is written to as it is. */
class PartFile implements Target {
  private readonly name: string
  private readonly partName: string
  private readonly handle: FileHandle
  private isOver = false

  private constructor(name: string, partName: string, handle: FileHandle) {
    this.name = name
    this.partName = partName
    this.handle = handle
  }

  static async create(given: string): Promise<PartFile> {
    try {
      // The file behind a symbolic link is replaced, not the link.
      const name = await realpath(given).catch(() => given)
      const isFile = await stat(name).then(
        (found) => found.isFile(),
        () => true,
      )
      const partName = isFile ? `${name}.part` : name
      return new PartFile(name, partName, await open(partName, 'w'))
    } catch (error) {
      throw new UsageError(`${shown(given)}: ${printable(toError(error).message)}`)
    }
  }

  async write(piece: Uint8Array): Promise<void> {
    await this.handle.writeFile(piece)
  }

  /** Returns why that is impossible, or null. */
  async finish(): Promise<Error | null> {
    try {
      if (this.partName !== this.name) {
        await this.handle.sync()
        await rename(this.partName, this.name)
      }
    } catch (error) {
      return toError(error)
    }
    await this.handle.close()
    this.isOver = true
    return null
  }

  /** Removes what there is, unless it is finished. */
  async abandon(): Promise<void> {
    if (this.isOver) return
    await this.handle.close()
    if (this.partName !== this.name) await rm(this.partName, { force: true })
  }
}
