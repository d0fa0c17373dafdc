import fs from 'node:fs/promises'
import { join } from 'node:path'
import type { Database, RocksDbClass } from './binding.ts'

/** RocksDB's write-ahead log: one file for each buffer of rows that is not written out yet. */
const WRITE_AHEAD_LOG = /^\d+\.log$/
/** More buffers than `WriteGate` ever lets come about: RocksDB itself never stops a writer for want of one. */
const BUFFERS_MAX = 64

export interface DatabaseFiles {
  readonly path: string
  readonly writeBufferBytes: number
  readonly openFilesMax: number
}

/**
 * Opens the database in `path` as of its last flush, explicit or by RocksDB itself.
 *
 * What RocksDB keeps of the rows written since lies in its write-ahead log, which is never synced: after a power cut any part of it
 * may be missing while a later part is there, and RocksDB, which sees no fault in that, would replay the later part over the hole.
 * A flush is atomic and comes after all flushes before it, so that without this log the state is always everything up to some write.
 * Quorate's own log has the rest.
 */
export async function openDatabase(
  rocks: RocksDbClass,
  { path, writeBufferBytes, openFilesMax }: DatabaseFiles,
): Promise<Database> {
  await discardWriteAheadLog(path)
  const database = new rocks(path, {
    // Two cores are common; a flush must not wait behind several compactions.
    maxBackgroundJobs: 2,
    maxWriteBufferNumber: BUFFERS_MAX,
    writeBufferSize: writeBufferBytes,
    maxOpenFiles: openFilesMax,
  })
  await database.ready()
  return database
}

async function discardWriteAheadLog(path: string): Promise<void> {
  for (const name of await namesIn(path)) {
    if (WRITE_AHEAD_LOG.test(name)) await fs.rm(join(path, name), { force: true })
  }
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return await fs.readdir(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
