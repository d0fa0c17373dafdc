import fs from 'node:fs/promises'
import { join } from 'node:path'
import { StorageError } from '../lib/errors.ts'
import type { NodeId } from '../raft/index.ts'
import { makeDirectory, syncDirectory } from './directories.ts'
import { lockFile, type DirectoryLock } from './directory-lock.ts'
import { errorCode, storageFault } from './fault.ts'
import { temporaryName } from './whole-file.ts'
import {
  IDENTITY_FILE,
  LOCK_FILE,
  LOG_DIRECTORY,
  openDataDirectory,
  refuseNoDirectory,
  RESTORING,
  STATE_DIRECTORY,
  type DataDirectory,
} from './identity.ts'

/** What may lie in a directory that is about to hold a node: a lock that nobody has, and what file systems put there. */
const HARMLESS: readonly string[] = [LOCK_FILE, 'lost+found']

/** A data directory that is being filled. It is no data directory before `publish`. */
export interface RestoreDirectory {
  /** The data directory in the making. */
  readonly inner: DataDirectory
  /** Makes it the data directory, when everything in it is closed and durable. */
  publish(): Promise<void>
  /** Leaves the path as it was found. */
  abandon(): Promise<void>
}

/**
 * Checks, without any change, that `path` may become a data directory: nothing is there, or an empty directory, or one that a restore
 * which did not end has left.
 */
export async function checkRestorable(path: string): Promise<void> {
  try {
    await foundIn(path)
  } catch (error) {
    throw storageFault(error, `look into ${path}`)
  }
}

/**
 * Begins to fill a data directory for node `id` at `path`. Everything is made in a directory within it, and moved out at the end, the file
 * that makes it a data directory last. So it is whole or refused by every start; a restore that begins anew removes what is left.
 */
export async function beginRestoreDirectory(path: string, id: NodeId): Promise<RestoreDirectory> {
  let lock: DirectoryLock | null = null
  try {
    const names = await foundIn(path)
    const isNew = await makeDirectory(path).catch((error: unknown) => refuseNoDirectory(path, error))
    lock = await lockFile(join(path, LOCK_FILE))
    const held = lock
    await removeRemains(path)
    const inner = await openDataDirectory(join(path, RESTORING), { nodeId: id })
    let isPublished = false
    return {
      inner,
      publish: async () => {
        await inner.close()
        await moveOut(path)
        isPublished = true
        await syncDirectory(path)
        await fs.rm(join(path, RESTORING), { recursive: true, force: true })
        await held.release()
      },
      abandon: async () => {
        await inner.close()
        if (isPublished) return await held.release()
        await removeRemains(path)
        await held.release()
        if (!names.includes(LOCK_FILE)) await fs.rm(join(path, LOCK_FILE), { force: true })
        if (isNew) await fs.rmdir(path)
      },
    }
  } catch (error) {
    await lock?.release()
    throw storageFault(error, `make the data directory ${path}`)
  }
}

/** The names in the directory; none when there is no directory. Refuses one that holds anything. */
async function foundIn(path: string): Promise<readonly string[]> {
  const names = await fs.readdir(path).catch((error: unknown): string[] => {
    if (errorCode(error) === 'ENOENT') return []
    return refuseNoDirectory(path, error)
  })
  if (await areRemains(path, names)) return names
  const others = names.filter((name) => !HARMLESS.includes(name))
  if (others.length === 0) return names
  const what = names.includes(IDENTITY_FILE) ? 'is the data directory of a node' : 'is not empty'
  throw new StorageError(
    'refused',
    `${path} ${what} (${others.slice(0, 3).join(', ')}): a restore needs a directory that is empty or does not exist. Name another one, or ` +
      'move away what is there',
  )
}

/** Whether an unfinished restore has left all that is there: nothing else may be removed. */
async function areRemains(path: string, names: readonly string[]): Promise<boolean> {
  if (!names.includes(RESTORING) || names.includes(IDENTITY_FILE)) return false
  const inner = await fs.readdir(join(path, RESTORING)).catch((): string[] => [])
  const moved = [LOG_DIRECTORY, STATE_DIRECTORY]
  const made = [LOCK_FILE, IDENTITY_FILE, temporaryName(IDENTITY_FILE), ...moved]
  // Nothing is moved out before the identity is there, and it is the last to go.
  const mayBeMoved = inner.includes(IDENTITY_FILE) ? moved : []
  return (
    inner.every((name) => made.includes(name)) &&
    names.every((name) => [...HARMLESS, RESTORING, ...mayBeMoved].includes(name))
  )
}

async function removeRemains(path: string): Promise<void> {
  // The one that shows that the others are remains goes last.
  for (const name of [LOG_DIRECTORY, STATE_DIRECTORY, RESTORING])
    await fs.rm(join(path, name), { recursive: true, force: true })
}

/** The file that makes it a data directory goes last, when everything else is durably there. */
async function moveOut(path: string): Promise<void> {
  const from = join(path, RESTORING)
  await syncDirectory(from)
  for (const name of [LOG_DIRECTORY, STATE_DIRECTORY]) await fs.rename(join(from, name), join(path, name))
  await syncDirectory(path)
  await fs.rename(join(from, IDENTITY_FILE), join(path, IDENTITY_FILE))
}
