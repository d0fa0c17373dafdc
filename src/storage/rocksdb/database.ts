import fs from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../limits.ts'
import type { Database, RocksDbClass } from './binding.ts'

/** RocksDB's write-ahead log: one file for each buffer of rows that has not been flushed. */
const WRITE_AHEAD_LOG = /^\d+\.log$/
export interface DatabaseFiles {
  readonly path: string
  readonly writeBufferBytes: number
  readonly openFilesMax: number
}

/**
 * Opens the database in `path` as of its last flush, explicit or by RocksDB itself.
 *
 * On disk, rows written after that flush are only in RocksDB's write-ahead log, which is never synced. After a power cut an
 * earlier part of it may be missing while a later part is there, and RocksDB would replay the later part over the gap without
 * noticing. A flush is atomic and follows all earlier flushes, so without the write-ahead log the state always contains every
 * write up to some point, and none after it. Quorate's own log has the rest.
 */
export async function openDatabase(
  rocks: RocksDbClass,
  { path, writeBufferBytes, openFilesMax }: DatabaseFiles,
): Promise<Database> {
  await discardWriteAheadLog(path)
  const database = new rocks(path, {
    // Machines with two cores are common, and a flush must not wait behind several compactions.
    maxBackgroundJobs: 2,
    maxWriteBufferNumber: limits.writeBuffersMax,
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
