import fs from 'node:fs'
import { makeDirectory, syncDirectory } from '../directories.ts'

/** The file system calls of the log: a port, so that a test can make any call fail. */
export interface LogFiles {
  /** Opens for reading and writing; every write is on stable storage when it resolves (`O_DSYNC`). */
  open(path: string, mode: 'existing' | 'new'): Promise<number>
  /** Opens for reading and writing without syncs. */
  openUnsynced(path: string): Promise<number>
  /** Writes all of `buffers` at `position` with one system call where the system allows it. */
  write(fd: number, buffers: readonly Uint8Array[], position: number): Promise<void>
  /** Writes into the page cache on the calling thread. */
  writeNow(fd: number, buffer: Uint8Array, position: number): void
  /** Reads until `buffer` is full or the file ends; resolves to the number of bytes read. */
  read(fd: number, buffer: Uint8Array, position: number): Promise<number>
  size(fd: number): Promise<number>
  sync(fd: number): Promise<void>
  close(fd: number): Promise<void>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  list(directory: string): Promise<string[]>
  /** Creates a directory that only its owner can enter, with its parents, all of them durable. */
  makeDirectory(directory: string): Promise<void>
  /** Makes names that were created, renamed or removed in `directory` durable. */
  syncDirectory(directory: string): Promise<void>
}

const { O_RDWR, O_CREAT, O_EXCL } = fs.constants
/** Windows has no O_DSYNC; there each write is followed by a sync. */
const O_DSYNC: number = process.platform === 'win32' ? 0 : fs.constants.O_DSYNC

function settle<T>(resolve: (value: T) => void, reject: (reason: Error) => void): (e: Error | null, value: T) => void {
  return (error, value) => (error === null ? resolve(value) : reject(error))
}

function settleVoid(resolve: () => void, reject: (reason: Error) => void): (error: Error | null) => void {
  return (error) => (error === null ? resolve() : reject(error))
}

async function writeSome(fd: number, buffers: readonly Uint8Array[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const [first] = buffers
    if (buffers.length === 1 && first !== undefined) {
      fs.write(fd, first, 0, first.length, position, settle(resolve, reject))
    } else {
      fs.writev(fd, buffers, position, settle(resolve, reject))
    }
  })
}

/** The rest of `buffers` after their first `count` bytes. */
function skipBytes(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count
  const rest: Uint8Array[] = []
  for (const buffer of buffers) {
    if (skip < buffer.length) rest.push(skip === 0 ? buffer : buffer.subarray(skip))
    skip = Math.max(0, skip - buffer.length)
  }
  return rest
}

async function syncFd(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fs.fsync(fd, settleVoid(resolve, reject)))
}

async function openFd(path: string, flags: number | string): Promise<number> {
  return new Promise((resolve, reject) => fs.open(path, flags, 0o600, settle(resolve, reject)))
}

async function closeFd(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fs.close(fd, settleVoid(resolve, reject)))
}

export const nodeFiles: LogFiles = {
  open: async (path, mode) => openFd(path, O_RDWR | O_DSYNC | (mode === 'new' ? O_CREAT | O_EXCL : 0)),
  openUnsynced: async (path) => openFd(path, O_RDWR),

  async write(fd, buffers, position) {
    const total = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    let written = await writeSome(fd, buffers, position)
    while (written < total) {
      const more = await writeSome(fd, skipBytes(buffers, written), position + written)
      if (more === 0) throw new Error('the system wrote nothing and gave no reason')
      written += more
    }
    if (O_DSYNC === 0) await syncFd(fd)
  },

  writeNow(fd, buffer, position) {
    fs.writeSync(fd, buffer, 0, buffer.length, position)
  },

  async read(fd, buffer, position) {
    let total = 0
    while (total < buffer.length) {
      const count = await new Promise<number>((resolve, reject) =>
        fs.read(fd, buffer, total, buffer.length - total, position + total, settle(resolve, reject)),
      )
      if (count === 0) break
      total += count
    }
    return total
  },

  size: async (fd) =>
    new Promise((resolve, reject) => fs.fstat(fd, (error, stats) => (error ? reject(error) : resolve(stats.size)))),
  sync: syncFd,
  close: closeFd,
  rename: async (from, to) => fs.promises.rename(from, to),
  remove: async (path) => fs.promises.unlink(path),
  list: async (directory) => fs.promises.readdir(directory),

  makeDirectory: async (directory) => void (await makeDirectory(directory)),
  syncDirectory,
}

/** The same files, and a list of those that are open, so that one call closes them all. */
export function trackOpenFiles(files: LogFiles): LogFiles & { closeAll(): Promise<void> } {
  const open = new Set<number>()
  const track = async (opening: Promise<number>): Promise<number> => {
    const fd = await opening
    open.add(fd)
    return fd
  }
  const close = async (fd: number): Promise<void> => {
    open.delete(fd)
    await files.close(fd)
  }
  return {
    open: async (path, mode) => track(files.open(path, mode)),
    openUnsynced: async (path) => track(files.openUnsynced(path)),
    write: async (fd, buffers, position) => files.write(fd, buffers, position),
    writeNow: (fd, buffer, position) => files.writeNow(fd, buffer, position),
    read: async (fd, buffer, position) => files.read(fd, buffer, position),
    size: async (fd) => files.size(fd),
    sync: async (fd) => files.sync(fd),
    close,
    rename: async (from, to) => files.rename(from, to),
    remove: async (path) => files.remove(path),
    list: async (directory) => files.list(directory),
    makeDirectory: async (directory) => files.makeDirectory(directory),
    syncDirectory: async (directory) => files.syncDirectory(directory),
    async closeAll() {
      for (const fd of open) await close(fd)
    },
  }
}
