import { open } from 'node:fs/promises'
import type { BackupError, BackupFault } from '../backup.ts'
import { limits } from '../limits.ts'
import { StorageError } from '../lib/errors.ts'
import { toError } from '../lib/to-error.ts'
import { shown } from './connection.ts'
import { printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

/** A backup that a command reads. */
export interface BackupFile {
  /** For messages. */
  readonly name: string
  /** Null: not known. */
  readonly bytes: number | null
  /** To be read once. */
  readonly pieces: AsyncIterable<Uint8Array>
}

/** The backup at `path`, or with `-` on the standard input. */
export async function openBackup(terminal: Terminal, path: string): Promise<BackupFile> {
  if (path === '-') {
    if (!terminal.hasInput) throw new UsageError('-: there is no backup on the standard input')
    return { name: 'the standard input', bytes: null, pieces: terminal.input() }
  }
  const handle = await open(path).catch((error: unknown) => {
    throw new UsageError(`${shown(path)} cannot be read: ${printable(toError(error).message)}`)
  })
  const found = await handle.stat()
  if (found.isDirectory()) {
    await handle.close()
    throw new UsageError(`${shown(path)} is a directory: name the file of a backup`)
  }
  const pieces = handle.createReadStream({ highWaterMark: limits.clientPieceBytes }) as AsyncIterable<Uint8Array>
  return { name: shown(path), bytes: found.isFile() ? found.size : null, pieces: readable(path, pieces) }
}

async function* readable(path: string, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces
  } catch (error) {
    throw new StorageError('failed', `${shown(path)} cannot be read: ${printable(toError(error).message)}`, {
      cause: error,
    })
  }
}

const advice: Readonly<Record<BackupFault, string>> = {
  empty: 'Take another backup.',
  foreign: '`quorate backup FILE` makes one.',
  newer: '`quorate --version` tells which version this is.',
  cut: 'Take another backup, or copy the file again from where it is whole.',
  damaged: 'Take another backup, or copy the file again from where it is whole.',
  unsound:
    'The version of Quorate that wrote it has a fault: please report it, with the output of `quorate --version` there.',
}

/** Says why a backup is of no use. Returns the exit code. */
export function printUnusable(
  terminal: Terminal,
  { json }: { readonly json?: true },
  name: string,
  { fault, message }: BackupError,
): number {
  const detail = `${name} cannot be used: ${printable(message)}`
  const document = JSON.stringify({ code: `backup-${fault}`, detail })
  terminal.printError(json === true ? `${document}\n` : `quorate: ${detail}\n  ${advice[fault]}\n`)
  return exitCodes.backupUnusable
}

/** The same for a directory, or a disk. */
export function printStorageError(
  terminal: Terminal,
  { json }: { readonly json?: true },
  { kind, message }: StorageError,
): number {
  const document = JSON.stringify({ code: kind, detail: message })
  terminal.printError(json === true ? `${document}\n` : `quorate: ${printable(message)}\n`)
  return kind === 'refused' ? exitCodes.refused : exitCodes.storageFault
}
