import { open } from 'node:fs/promises'
import { limits } from '../limits.ts'
import { toError } from '../lib/to-error.ts'
import { shown } from './connection.ts'
import { printable } from './table.ts'
import { UsageError, type Terminal } from './terminal.ts'

/** What a command reads from beginning to end. */
export interface SourceFile {
  /** Null: not known. */
  readonly bytes: number | null
  /** To be read once. */
  readonly pieces: AsyncIterable<Uint8Array>
  /** Also when nothing of it was read. */
  close(): Promise<void>
}

/** The standard input; `complaint` says what is missing when there is none. */
export function standardInput(terminal: Terminal, complaint: string): SourceFile {
  if (!terminal.hasInput) throw new UsageError(complaint)
  return { bytes: null, pieces: terminal.input(), close: () => Promise.resolve() }
}

/** The file at `path`. Throws `UsageError` when it cannot be opened. */
export async function openSource(path: string): Promise<SourceFile> {
  const handle = await open(path).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  const found = await handle.stat()
  if (found.isDirectory()) {
    await handle.close()
    throw new UsageError(`${shown(path)} is a directory: name a file`)
  }
  const pieces = handle.createReadStream({ highWaterMark: limits.clientPieceBytes }) as AsyncIterable<Uint8Array>
  return { bytes: found.isFile() ? found.size : null, pieces, close: async () => handle.close() }
}

/** All of the file at `path`. Throws `UsageError` when it cannot be read, or has more than `bytesMax` bytes. */
export async function wholeFile(path: string, bytesMax: number): Promise<Uint8Array> {
  const source = await openSource(path)
  const read: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const piece of source.pieces) {
      bytes += piece.length
      if (bytes > bytesMax)
        throw new UsageError(`${shown(path)} has more than ${bytesMax} bytes, the most that can be sent`)
      read.push(piece)
    }
  } catch (error) {
    throw error instanceof UsageError ? error : unreadable(path, error)
  } finally {
    await source.close()
  }
  return Buffer.concat(read)
}

export function unreadable(path: string, error: unknown): UsageError {
  return new UsageError(`${shown(path)} cannot be read: ${printable(toError(error).message)}`)
}
