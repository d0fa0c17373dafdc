import { fork, spawn, type ChildProcess, type ForkOptions, type SpawnOptions } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const running = new Set<ChildProcess>()
const directories = new Set<string>()

/** However this process ends, short of a SIGKILL, it leaves no process and no directory. */
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const directory of directories) removeDirectory(directory)
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))

function owned(child: ChildProcess): ChildProcess {
  running.add(child)
  child.once('exit', () => running.delete(child))
  child.once('error', () => running.delete(child))
  return child
}

export function spawnChild(file: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  return owned(spawn(file, args, options))
}

/** Runs a module of this folder in a process of its own. */
export function forkChild(module: string, args: readonly string[] = [], options: ForkOptions = {}): ChildProcess {
  return owned(fork(join(import.meta.dirname, module), args, { execArgv: [], ...options }))
}

/** Resolves when the process has ended; at once if it has already. */
export async function endChild(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill(signal)
  await ended
}

export function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-bench-'))
  directories.add(directory)
  return directory
}

export function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
  directories.delete(directory)
}
