import { hostname } from 'node:os'
import type { Lock } from '../client/index.ts'
import { ProblemError } from '../client/errors.ts'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'
import { durationMsOf, withClient, type ConnectionOptions } from './connection.ts'
import { ttlMsOf } from './lease-arguments.ts'
import { runInPlace } from './run-in-place.ts'
import { printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface LockOptions extends ConnectionOptions {
  readonly ttl?: string
  readonly wait?: string
  readonly owner?: string
}

/**
 * Runs a command while it holds a lock. The exit code is that of the command; when the lock was not acquired, the command does not run. When
 * the lock can no longer be counted on, the command is told to end: somebody else may hold it by then.
 */
export async function lock(
  terminal: Terminal,
  name: string,
  command: readonly string[],
  options: LockOptions,
): Promise<number> {
  if (command.length === 0) throw new UsageError('there is no command: name it behind the two dashes')
  if (command[0] === '') throw new UsageError("the command is '': an unset variable may stand in its place")
  const ttlMs = ttlMsOf(options.ttl ?? '10s', '--ttl')
  const waitMs = waitMsOf(options)
  const owner = options.owner ?? `${hostname()}:${process.pid}`
  let ended: number | null = null
  const code = await withClient(terminal, options, async (client) => {
    const held = await client.lock(name, { ttlMs, waitMs, owner }).catch((error: unknown) => {
      if (error instanceof ProblemError && error.code === 'lock-held') ended = exitCodes.conditionFailed
      throw error
    })
    try {
      ended = await run(terminal, command, held)
    } finally {
      await release(terminal, held)
    }
  })
  return ended ?? code
}

function waitMsOf({ wait = '0' }: LockOptions): number {
  return durationMsOf(wait, '--wait', { min: 0, max: limits.lockWaitMsMax }, 'a duration up to 1m, such as 30s')
}

/** Resolves with the exit code of the command. */
async function run(terminal: Terminal, command: readonly string[], held: Lock): Promise<number> {
  const own = {
    QUORATE_LOCK_NAME: held.name,
    QUORATE_LOCK_TOKEN: String(held.token),
    QUORATE_LOCK_LEASE: String(held.lease),
  }
  const complaint = (text: string): void => terminal.printError(`quorate: ${text}\n`)
  const onLost = (): void => complaint(`the lock ${printable(held.name)} is lost; the command is told to end`)
  held.signal.addEventListener('abort', onLost)
  if (held.signal.aborted) onLost()
  try {
    return await runInPlace(command, own, held.signal, complaint)
  } finally {
    held.signal.removeEventListener('abort', onLost)
  }
}

async function release(terminal: Terminal, held: Lock): Promise<void> {
  if (held.signal.aborted) return
  try {
    await held.release()
  } catch (error) {
    const isGone = error instanceof ProblemError && error.code === 'lock-not-held'
    if (isGone) return
    terminal.printError(
      `quorate: the lock was not released (${printable(toError(error).message)}); it is free when its lease is over\n`,
    )
  }
}
