import type { BackupError, BackupFault } from '../backup.ts'
import { StorageError } from '../lib/errors.ts'
import { shown } from './connection.ts'
import { openSource, standardInput, unreadable, type SourceFile } from './source-file.ts'
import { printable } from './table.ts'
import { exitCodes, type Terminal } from './terminal.ts'

/** A backup that a command reads. */
export interface BackupFile extends SourceFile {
  /** For messages. */
  readonly name: string
}

/** The backup at `path`, or with `-` on the standard input. */
export async function openBackup(terminal: Terminal, path: string): Promise<BackupFile> {
  if (path === '-')
    return { name: 'the standard input', ...standardInput(terminal, '-: there is no backup on the standard input') }
  const source = await openSource(path)
  return { ...source, name: shown(path), pieces: readable(path, source.pieces) }
}

async function* readable(path: string, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces
  } catch (error) {
    throw new StorageError('failed', unreadable(path, error).message, { cause: error })
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
