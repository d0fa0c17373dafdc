import { InvariantError } from '../lib/assert.ts'
import { StorageError } from '../lib/errors.ts'
import { toError } from '../lib/to-error.ts'

const meanings: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: free some space on it, then start again',
  EDQUOT: 'the disk quota is used up: raise it or free some space, then start again',
  EFBIG: 'the file may not grow any further: raise the limit on file sizes (ulimit -f), then start again',
  EIO: 'the disk reported an error: check it before this node is started again',
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied: the directory must belong to the user that runs the node',
  EPERM: 'permission denied: the directory must belong to the user that runs the node',
  EMFILE: 'too many open files: raise the limit (ulimit -n)',
  ENFILE: 'too many open files on this machine',
}

/** The code of a failed system call; null for any other error. */
export function errorCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null
}

/** Turns `error` into one that stops the node. `action` is in the infinitive, for instance "write to the log". */
export function storageFault(error: unknown, action: string): StorageError | InvariantError {
  if (error instanceof StorageError || error instanceof InvariantError) return error
  const code = errorCode(error)
  const text = toError(error).message
  const meaning = code === null ? undefined : meanings[code]
  const detail = meaning === undefined ? text : `${meaning} (${text})`
  return new StorageError('failed', `Could not ${action}: ${detail}`, { cause: error })
}
