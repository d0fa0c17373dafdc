import { rm, stat } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StorageError } from '../lib/errors.ts'
import { errorCode } from './fault.ts'

/** Nobody else has the directory while this is held. Ends with the process, however it ends. */
export interface DirectoryLock {
  release(): Promise<void>
}

/**
 * Takes the directory for this process, or refuses.
 *
 * The lock is a listening socket named after the directory's device and inode, so that another path to the same directory is the
 * same lock, and the kernel frees it when the process dies. On Linux the name is abstract: no file is left behind. Elsewhere it
 * is a file, and one that nobody listens on any more is removed. It does not reach across machines, nor (on Linux) across
 * containers with networks of their own; there RocksDB's lock file on the state still refuses the second process.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const { dev, ino } = await stat(directory, { bigint: true })
  const name = `quorate-${dev}-${ino}`
  const abstract = process.platform === 'linux'
  const address = abstract
    ? `\0${name}`
    : process.platform === 'win32'
      ? `\\\\.\\pipe\\${name}`
      : join(tmpdir(), `${name}.sock`)
  const server = (await listen(address)) ?? (abstract ? null : await takeOver(address))
  if (server === null) {
    throw new StorageError(
      'refused',
      `${directory} is in use by another process: stop that node first, or give this one a directory of its own.`,
    )
  }
  return { release: async () => await new Promise((resolve) => server.close(() => resolve())) }
}

/** Null when somebody has the address. */
async function listen(address: string): Promise<Server | null> {
  const server = createServer((socket) => socket.destroy())
  return await new Promise((resolve, reject) => {
    server.once('error', (error) => {
      if (errorCode(error) === 'EADDRINUSE') resolve(null)
      else reject(error)
    })
    server.listen(address, () => {
      // The lock does not keep the process running.
      server.unref()
      resolve(server)
    })
  })
}

/** A socket file outlives its process. When nobody answers on it, it is removed and taken. */
async function takeOver(address: string): Promise<Server | null> {
  const alive = await new Promise<boolean>((resolve) => {
    const socket = connect(address)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
  if (alive) return null
  await rm(address, { force: true })
  return await listen(address)
}
