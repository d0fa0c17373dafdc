import { spawn } from 'node:child_process'
import fs from 'node:fs/promises'
import { StorageError } from '../lib/errors.ts'
import { errorCode } from './fault.ts'

/** A lock that ends with `release`, or with the process, in whatever way the process ends. */
export interface DirectoryLock {
  release(): Promise<void>
}

/**
 * Locks the file at `path`, or refuses when another process holds the lock.
 *
 * Node has no call for file locks, but a lock of flock(2) belongs to the open file, not to the process that takes it. The
 * program `flock` (part of util-linux and of BusyBox) locks a descriptor that it inherits, and exits; our descriptor keeps
 * the lock. The kernel releases it when this process ends. It works across containers that share the directory, and on network file
 * systems that support locks.
 *
 * Where the program is missing (macOS, Windows, bare images) the process id in the file decides. This leaves gaps: two starts
 * at the same moment, and containers, where process ids of one mean nothing in another.
 */
export async function lockFile(path: string, program = 'flock'): Promise<DirectoryLock> {
  const file = await fs.open(path, 'a+', 0o600)
  try {
    const locked = await lockDescriptor(program, file.fd)
    const before = (await file.readFile('utf8')).trim()
    if (locked === false || (locked === null && (await isAlive(before)))) throw inUse(path, before)
    await file.truncate(0)
    await file.writeFile(`${await describeProcess(process.pid)}\n`)
  } catch (error) {
    await file.close()
    throw error
  }
  let releasing: Promise<void> | null = null
  return {
    async release() {
      releasing ??= file.truncate(0).then(async () => file.close())
      return releasing
    },
  }
}

/** Whether the lock was granted; null when the program for it is missing. */
async function lockDescriptor(program: string, fd: number): Promise<boolean | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['-x', '-n', '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] })
    child.once('error', (error) => (errorCode(error) === 'ENOENT' ? resolve(null) : reject(error)))
    child.once('exit', (status) => {
      if (status === 0 || status === 1) resolve(status === 0)
      else
        reject(
          new StorageError('failed', `The program ${program} could not lock the data directory (status ${status}).`),
        )
    })
  })
}

/** Names a process by its id and, where the system tells it, its start time: ids are reused. */
async function describeProcess(pid: number): Promise<string> {
  try {
    const [boot, stat] = await Promise.all([
      fs.readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      fs.readFile(`/proc/${pid}/stat`, 'utf8'),
    ])
    // Field 22 is the start time. Field 2, in parentheses, may contain anything.
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${pid} ${started ?? ''} ${boot.trim()}`
  } catch {
    return String(pid)
  }
}

async function isAlive(description: string): Promise<boolean> {
  const pid = Number(description.split(' ')[0])
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return false
  }
  return (await describeProcess(pid)) === description
}

function inUse(path: string, holder: string): StorageError {
  const pid = holder.split(' ')[0] ?? ''
  const by = pid === '' ? 'another process' : `process ${pid}`
  return new StorageError(
    'refused',
    `The data directory is in use by ${by} (${path} is locked). Stop it first, or use another directory.`,
  )
}
