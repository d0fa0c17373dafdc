import { closeSync, createReadStream, fstatSync, open as openCallback } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { limits } from '../limits.ts'
import { toError } from '../lib/to-error.ts'
import { shown } from './connection.ts'
import { printable } from './table.ts'
import { UsageError, type Terminal } from './terminal.ts'

const open = promisify(openCallback)

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
  return inputOf(terminal)
}

/** The file at `path`. Throws `UsageError` when it cannot be opened. */
export async function openSource(path: string): Promise<SourceFile> {
  const fd = await open(path, 'r').catch((error: unknown) => {
    throw unreadable(path, error)
  })
  const found = fstatSync(fd)
  if (found.isDirectory()) {
    closeSync(fd)
    throw new UsageError(`${shown(path)} is a directory: name a file`)
  }
  // Whoever reads a pipe as a file waits for its next byte, also to close it.
  const pieces: Readable = found.isFIFO()
    ? new Socket({ fd, writable: false })
    : createReadStream(path, { fd, highWaterMark: limits.clientPieceBytes })
  const close = async (): Promise<void> => {
    pieces.destroy()
    if (!pieces.closed) await new Promise((resolve) => pieces.once('close', resolve))
  }
  return { bytes: found.isFile() ? found.size : null, pieces: pieces as AsyncIterable<Uint8Array>, close }
}

/** All of the file at `path`. Throws `UsageError` when it cannot be read, or has more than `bytesMax` bytes. */
export async function wholeFile(path: string, bytesMax: number): Promise<Uint8Array> {
  const source = await openSource(path)
  try {
    return await whole(source, shown(path), bytesMax)
  } catch (error) {
    throw error instanceof UsageError ? error : unreadable(path, error)
  }
}

/** The same for the standard input. */
export async function wholeInput(terminal: Terminal, bytesMax: number): Promise<Uint8Array> {
  return await whole(inputOf(terminal), 'the standard input', bytesMax)
}

function inputOf(terminal: Terminal): SourceFile {
  return { bytes: null, pieces: terminal.input(), close: async () => terminal.leaveInput() }
}

async function whole(
  source: Pick<SourceFile, 'pieces' | 'close'>,
  name: string,
  bytesMax: number,
): Promise<Uint8Array> {
  const read: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const piece of source.pieces) {
      bytes += piece.length
      if (bytes > bytesMax) throw new UsageError(`${name} has more than ${bytesMax} bytes, the most that can be sent`)
      read.push(piece)
    }
  } finally {
    await source.close()
  }
  return Buffer.concat(read)
}

export function unreadable(path: string, error: unknown): UsageError {
  return new UsageError(`${shown(path)} cannot be read: ${printable(toError(error).message)}`)
}
