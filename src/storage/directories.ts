import fs from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { errorCode } from './fault.ts'

/** Makes the content of a file durable. */
export async function syncFile(path: string): Promise<void> {
  // Windows syncs only files that are open for writing.
  await syncPath(path, process.platform === 'win32' ? 'r+' : 'r')
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform !== 'win32') await syncPath(path, 'r')
}

/**
 * Makes the files in a directory, and their names, durable. Files that a process finds may exist in memory only: the process
 * before it was killed between a write and its sync, or somebody copied the directory.
 */
export async function syncFiles(directory: string): Promise<void> {
  for (const entry of await fs.readdir(directory, { withFileTypes: true })) {
    if (entry.isFile()) await syncFile(join(directory, entry.name))
  }
  await syncDirectory(directory)
}

/**
 * Makes a directory that only its owner can enter, and its parents. All directories that were made are durable then. Returns
 * whether the directory is new.
 *
 * It makes one level at a time: where a file system answers nothing but "no such file" (/proc, a mount whose server is gone),
 * Node's recursive call retries for ever.
 */
export async function makeDirectory(directory: string): Promise<boolean> {
  const path = resolve(directory)
  if (await isDirectory(path)) return false
  const parent = dirname(path)
  if (parent !== path) await makeDirectory(parent)
  const isNew = await makeOne(path)
  await syncDirectory(parent)
  return isNew
}

async function makeOne(path: string): Promise<boolean> {
  try {
    await fs.mkdir(path, { mode: 0o700 })
    return true
  } catch (error) {
    // Another process may have made it meanwhile.
    if (errorCode(error) === 'EEXIST' && (await isDirectory(path))) return false
    throw error
  }
}

/** False when nothing is there. Rejects with EEXIST when it is not a directory, and with ENOTDIR when a part of the path is not. */
async function isDirectory(path: string): Promise<boolean> {
  try {
    const stats = await fs.stat(path)
    if (stats.isDirectory()) return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw error
  }
  throw Object.assign(new Error(`EEXIST: ${path} is not a directory`), { code: 'EEXIST' })
}

async function syncPath(path: string, flags: string): Promise<void> {
  const file = await fs.open(path, flags)
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
