import fs from 'node:fs/promises'
import { StorageError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { Database } from './binding.ts'

/** A call that takes long although the disk has room. */
export interface SlowCall {
  /** In the infinitive, for instance "write to the state". */
  readonly action: string
  readonly elapsedMs: number
  readonly freeBytes: number
}

/** All are optional. */
export interface DiskWatchDependencies {
  /** Called repeatedly while the call lasts. */
  readonly onSlow?: (call: SlowCall) => void
  readonly freeBytes?: (path: string) => Promise<number>
}

export interface DiskWatchOptions {
  /** The directory of the database. */
  readonly directory: string
  /** A call is examined after this time, and again after every further such time. */
  readonly slowMs: number
}

/**
 * Ends the wait for calls that a full disk blocks. RocksDB may wait for space instead of reporting the error, and may keep
 * waiting after space has been freed. A disk that is only slow is waited for.
 */
export class DiskWatch {
  private readonly options: DiskWatchOptions
  private readonly onSlow: (call: SlowCall) => void
  private readonly freeBytes: (path: string) => Promise<number>

  constructor(options: DiskWatchOptions, dependencies: DiskWatchDependencies) {
    this.options = options
    this.onSlow = dependencies.onSlow ?? (() => undefined)
    this.freeBytes = dependencies.freeBytes ?? freeBytesOf
  }

  /** Settles like `call`. Rejects earlier when the call lasts because the disk is full; the call itself continues, perhaps for ever. */
  async during<T>(call: Promise<T>, action: string, database: Database): Promise<T> {
    const { slowMs } = this.options
    let timer: NodeJS.Timeout | undefined
    const full = new Promise<never>((_resolve, reject) => {
      let elapsedMs = 0
      timer = setInterval(() => {
        elapsedMs += slowMs
        this.look(action, elapsedMs, database).catch(reject)
      }, slowMs)
    })
    try {
      return await Promise.race([call, full])
    } finally {
      clearInterval(timer)
    }
  }

  /** Free bytes; 0 when they cannot be learnt. */
  async free(): Promise<number> {
    return await this.freeBytes(this.options.directory).catch(() => 0)
  }

  /** Rejects when the disk is full. */
  private async look(action: string, elapsedMs: number, database: Database): Promise<void> {
    const [freeBytes, heldBytes, errors] = await Promise.all([
      // Failing to learn the free space is no reason to give up.
      this.freeBytes(this.options.directory).catch(() => Infinity),
      numberOf(database, 'rocksdb.cur-size-all-mem-tables'),
      numberOf(database, 'rocksdb.background-errors'),
    ])
    const neededBytes = heldBytes + limits.stateFreeBytesMin
    const waited = `RocksDB has not answered for ${elapsedMs / 1000} s`
    if (freeBytes < neededBytes) {
      throw new StorageError(
        'failed',
        `Could not ${action}: the disk is full: free some space on it, then start again ` +
          `(${waited}; ${freeBytes} bytes are free, and ${neededBytes} are needed)`,
      )
    }
    if (errors > 0) {
      throw new StorageError(
        'failed',
        `Could not ${action}: ${waited}, after an error in the background. Check the disk and the quota, then start again. ` +
          `The file LOG of the newest generation in ${this.options.directory} describes the error.`,
      )
    }
    this.onSlow({ action, elapsedMs, freeBytes })
  }
}

async function freeBytesOf(path: string): Promise<number> {
  const { bavail, bsize } = await fs.statfs(path)
  return bavail * bsize
}

/** 0 when the database does not answer, for example while it is being closed. */
async function numberOf(database: Database, property: string): Promise<number> {
  try {
    return Number(await database.getProperty(property))
  } catch {
    return 0
  }
}
