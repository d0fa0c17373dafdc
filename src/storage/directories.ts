import fs from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { errorCode } from './fault.ts'

/** Makes the content of a file durable. */
export async function syncFile(path: string): Promise<void> {
  // Windows syncs only what may be written to.
  await syncPath(path, process.platform === 'win32' ? 'r+' : 'r')
}

/** Makes names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform !== 'win32') await syncPath(path, 'r')
}

/**
 * Makes the files that lie in a directory, and their names, durable. What a process finds may be in memory only: the one before was
 * killed between a write and its sync, or somebody copied the directory.
 */
export async function syncFiles(directory: string): Promise<void> {
  for (const entry of await fs.readdir(directory, { withFileTypes: true })) {
    if (entry.isFile()) await syncFile(join(directory, entry.name))
  }
  await syncDirectory(directory)
}

/**
 * Makes a directory that only its owner can enter, with its parents. It and those that were made are durable then. Whether it is new.
 *
 * One level at a time: where a file system has no answer but "no such file" (/proc, a mount whose server is gone), the recursive call
 * of Node tries for ever.
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

/** False when nothing is there; rejects with EEXIST when it is something else, with ENOTDIR when a part of the path is. */
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
