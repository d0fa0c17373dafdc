import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { constants, hostname } from 'node:os'
import type { Lock } from '../client/index.ts'
import { ProblemError } from '../client/errors.ts'
import { duration } from '../lib/duration.ts'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'
import { shown, withClient, type ConnectionOptions } from './connection.ts'
import { ttlMsOf } from './lease-arguments.ts'
import { printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'
import { Witness } from './witness.ts'

export interface LockOptions extends ConnectionOptions {
  readonly ttl?: string
  readonly wait?: string
  readonly owner?: string
}

const forwardedSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** As a shell answers for a command that it cannot start. */
const notStarted = 127

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
  const ttlMs = ttlMsOf(options.ttl ?? '10s', '--ttl')
  const waitMs = waitMsOf(options)
  const owner = options.owner ?? `${hostname()}:${process.pid}`
  let ended: number | null = null
  const code = await withClient(terminal, options, async (client) => {
    const held = await client.lock(name, { ttlMs, waitMs, owner }).catch((error: unknown) => {
      if (error instanceof ProblemError && error.code === 'lock-held') ended = exitCodes.conditionFailed
      throw error
    })
    ended = await run(terminal, command, held)
    await release(terminal, held)
  })
  return ended ?? code
}

function waitMsOf({ wait = '0' }: LockOptions): number {
  const parsed = duration(0, limits.lockWaitMsMax)(/^[0-9]+$/.test(wait) ? `${wait}s` : wait)
  if (parsed.ok) return parsed.value
  throw new UsageError(
    `--wait ${shown(wait)} ${parsed.wrong}; expected a duration up to 1m, such as 30s, or a number of seconds`,
  )
}

/** Resolves with the exit code of the command. */
async function run(terminal: Terminal, command: readonly string[], held: Lock): Promise<number> {
  const [file = '', ...words] = command
  const own = {
    QUORATE_LOCK_NAME: held.name,
    QUORATE_LOCK_TOKEN: String(held.token),
    QUORATE_LOCK_LEASE: String(held.lease),
  }
  const child = spawn(file, words, { stdio: 'inherit', env: { ...process.env, ...own } })
  const onLost = (): void => {
    terminal.printError(`quorate: the lock ${printable(held.name)} is lost; the command is told to end\n`)
    child.kill('SIGTERM')
  }
  held.signal.addEventListener('abort', onLost)
  const stopForwarding = forwardSignals(child)
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
    return code ?? 128 + (signal === null ? 0 : constants.signals[signal])
  } catch (error) {
    terminal.printError(`quorate: ${printable(file)} did not start: ${printable(toError(error).message)}\n`)
    return notStarted
  } finally {
    stopForwarding()
    held.signal.removeEventListener('abort', onLost)
  }
}

/** The command is told of what would end this process. This one stays, to release the lock. */
function forwardSignals(child: ChildProcess): () => void {
  const witness = new Witness()
  // What was sent to the whole group has come to the command as well, and a second signal would mean something else.
  const forward = (signal: NodeJS.Signals): void =>
    void witness.saw(signal).then((isForAll) => isForAll || child.kill(signal))
  for (const signal of forwardedSignals) process.on(signal, forward)
  return () => {
    for (const signal of forwardedSignals) process.off(signal, forward)
    witness.end()
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
