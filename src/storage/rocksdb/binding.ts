import type RocksDB from 'rocksdb-native'
import { InvariantError } from '../../lib/assert.ts'
import { StorageError } from '../../lib/errors.ts'
import { storageFault } from '../fault.ts'

export type Database = RocksDB
export type RocksDbClass = typeof RocksDB

/**
 * The state on disk is not what was written. The log is not affected: a caller may set the state aside (`setStateAside`) and
 * have it rebuilt from the log or from a peer's snapshot.
 */
export class DamagedStateError extends StorageError {
  constructor(directory: string, what: string, options?: ErrorOptions) {
    super(
      'refused',
      `The state in ${directory} is damaged: ${what}. It can be rebuilt: remove that directory and start the node again. ` +
        'A cluster of one node whose log no longer reaches back to the beginning needs a copy of its whole directory.',
      options,
    )
  }
}

/** Loads the native module, which needs a library that some systems lack. */
export async function loadRocksDb(
  load: () => Promise<{ default: RocksDbClass }> = async () => import('rocksdb-native'),
): Promise<RocksDbClass> {
  try {
    return (await load()).default
  } catch (error) {
    const text = describe(error)
    const advice = text.includes('libatomic')
      ? 'The library libatomic is missing: install it (package libatomic1 in Debian and Ubuntu, libatomic elsewhere).'
      : `There may be no build of RocksDB for this system (${process.platform}, ${process.arch}), or this package was packed for another ` +
        'one: `npm pack` without --os and --cpu packs for all.'
    throw new StorageError('refused', `RocksDB could not be loaded. ${advice} (${text})`, { cause: error })
  }
}

const DAMAGE =
  /corrupt|checksum|mismatch|no such file|not an sstable|bad block|bad table|truncated|missing|newline|existing log file/i
const LOCKED = /lock hold|while lock file|no locks available|resource temporarily unavailable/i

/**
 * Turns the error of a failed call of RocksDB into one for the node. RocksDB's codes say `EIO` for almost everything, so its
 * texts are examined.
 */
export function stateFault(error: unknown, directory: string, action: string): StorageError | InvariantError {
  if (error instanceof StorageError || error instanceof InvariantError) return error
  const text = describe(error)
  if (LOCKED.test(text)) {
    return new StorageError('refused', `The state in ${directory} is in use by another process (${text})`, {
      cause: error,
    })
  }
  if (/no space left/i.test(text)) {
    const advice = 'the disk is full: free some space on it, then start again'
    return new StorageError('failed', `Could not ${action}: ${advice} (${text})`, { cause: error })
  }
  if (DAMAGE.test(text)) return new DamagedStateError(directory, text, { cause: error })
  return storageFault(error instanceof Error ? new Error(text, { cause: error }) : error, action)
}

/** The text of `error` and of its causes. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const inner: unknown[] = error instanceof AggregateError ? error.errors : [error.cause]
  return [error.message, ...inner.filter((cause) => cause !== undefined && cause !== null).map(describe)]
    .filter((text) => text !== '')
    .join(': ')
}
