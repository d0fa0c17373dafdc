import fs from 'node:fs'

/**
 * Loaded into the process of a node before its program (`--import`): makes its log slow. Each synced write takes longer, by a time of its own
 * and one for each of its bytes. How long comes from the environment (`slowDiskVariables`).
 */

export interface SlowDisk {
  readonly syncMs: number
  readonly bytesPerMs: number
}

export function slowDiskVariables({ syncMs, bytesPerMs }: SlowDisk): Record<string, string> {
  return { BENCH_SYNC_MS: String(syncMs), BENCH_BYTES_PER_MS: String(bytesPerMs) }
}

type Done = (...outcome: unknown[]) => void

/** `done`, as much later as a write of `bytes` takes longer. */
function later(done: Done, bytes: number): Done {
  const { BENCH_SYNC_MS: syncMs, BENCH_BYTES_PER_MS: bytesPerMs } = process.env
  const ms = Number(syncMs) + bytes / Number(bytesPerMs)
  return (...outcome) => void setTimeout(() => done(...outcome), ms)
}

/** The functions through which the log opens its files and writes to them (`src/storage/wal/files.ts`). */
interface LogCalls {
  open: (path: string, flags: number | string, mode: number, done: (error: Error | null, fd: number) => void) => void
  write: (fd: number, bytes: Uint8Array, offset: number, length: number, position: number, done: Done) => void
  writev: (fd: number, buffers: readonly Uint8Array[], position: number, done: Done) => void
  close: (fd: number, done: Done) => void
}

function slowDown(calls: LogCalls): void {
  const { open, write, writev, close } = calls
  const synced = new Set<number>()
  calls.open = (path, flags, mode, done) =>
    open(path, flags, mode, (error, fd) => {
      const isSynced = typeof flags === 'number' && (flags & fs.constants.O_DSYNC) !== 0
      if (error === null && isSynced) synced.add(fd)
      done(error, fd)
    })
  calls.write = (fd, bytes, offset, length, position, done) =>
    write(fd, bytes, offset, length, position, synced.has(fd) ? later(done, length) : done)
  calls.writev = (fd, buffers, position, done) => {
    const bytes = buffers.reduce((sum, { length }) => sum + length, 0)
    writev(fd, buffers, position, synced.has(fd) ? later(done, bytes) : done)
  }
  calls.close = (fd, done) => {
    synced.delete(fd)
    close(fd, done)
  }
}

if (process.env['BENCH_SYNC_MS'] !== undefined) slowDown(fs as unknown as LogCalls)
