import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { delimiter, dirname } from 'node:path'
import type { Owner } from '../../support/temporary-directory.ts'

export interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Surroundings {
  readonly cwd?: string
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Called with everything printed so far; `stop` ends the program. */
  readonly onOutput?: (out: string, stop: () => void) => void
}

/**
 * Runs a program outside the project. Of this process's environment it gets only HOME and a PATH that begins with this Node.
 * Rejects when there is no such program.
 */
export async function runCommand(owner: Owner, command: readonly string[], options: Surroundings = {}): Promise<Ran> {
  const [program = '', ...words] = command
  const path = [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter)
  const child = spawn(program, words, {
    cwd: options.cwd ?? '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: path, HOME: process.env['HOME'] ?? '', ...options.environment },
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk) => {
    out += String(chunk)
    options.onOutput?.(out, () => child.kill('SIGTERM'))
  })
  child.stderr.on('data', (chunk) => (err += String(chunk)))
  const closed = once(child, 'close')
  owner.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await closed.catch(() => null)
  })
  const [code] = (await closed) as [number | null]
  return { code, out, err }
}
