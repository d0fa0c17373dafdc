import { constants } from 'node:os'
import { describeMistakes, readConfig } from '../config.ts'
import { StorageError } from '../lib/errors.ts'
import { InvariantError } from '../lib/assert.ts'
import { createLogger } from '../logger.ts'
import { startServer, type Server } from '../server.ts'
import { leaveForSure } from './leaving.ts'
import { exitCodes, type Terminal } from './terminal.ts'

const stopSignals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

/**
 * Runs a node until it is told to stop or cannot go on; then the process ends, with one of `exitCodes`.
 * Returns only when the node was not even started.
 */
export async function serve(terminal: Terminal, flags: readonly string[]): Promise<number> {
  const outcome = readConfig(flags, terminal.environment)
  if (outcome.kind === 'mistakes') {
    terminal.printError(`quorate serve: the configuration is wrong\n${describeMistakes(outcome.mistakes)}`)
    return exitCodes.usage
  }
  const { config, warnings } = outcome
  const logger = createLogger(config)
  for (const warning of warnings) logger.warn({}, warning)

  /** Leaves at once: a write that hangs in the thread pool must not keep a node alive that has given up. */
  const leave = (code: number, message: string, error: Error): never => {
    if (code !== exitCodes.stopped) {
      logger.fatal({ ...(isExpected(error) ? { reason: error.message } : { err: error }), exitCode: code }, message)
      terminal.printError(`quorate: ${message}: ${error.message}\n`)
    }
    leaveForSure(code)
  }
  // A rejection that nobody handled arrives here too. Either is a belief of the code that broke.
  process.on('uncaughtException', (error) => leave(exitCodes.brokenInvariant, 'stopped by an unexpected error', error))

  const asked = untilAsked()
  let server: Server
  try {
    server = await startServer(config, { logger })
  } catch (error) {
    const cause = error instanceof Error ? error : new Error(String(error))
    const code = cause instanceof InvariantError ? exitCodes.brokenInvariant : exitCodes.refused
    return leave(code, 'refused to start', cause)
  }
  const end = await Promise.race([asked, server.fault])
  if (end instanceof StorageError) return leave(exitCodes.storageFault, 'stopped by a storage fault', end)
  if (end instanceof Error) return leave(exitCodes.brokenInvariant, 'stopped by a broken invariant', end)

  logger.info({ reason: end }, 'stopping')
  const fault = await Promise.race([server.stop(), server.fault])
  if (fault === 'late') leaveForSure(exitCodes.stopped)
  if (fault instanceof StorageError) return leave(exitCodes.storageFault, 'a storage fault while stopping', fault)
  if (fault instanceof Error) return leave(exitCodes.brokenInvariant, 'a broken invariant while stopping', fault)
  logger.info({}, 'stopped')
  process.exit(exitCodes.stopped)
}

/** Whether the message is all there is to say: the directory, or an address, cannot be used. Where in the code that was found helps nobody. */
function isExpected(error: Error): boolean {
  return (
    (error instanceof StorageError && error.kind === 'refused') ||
    (error.cause instanceof Error && 'syscall' in error.cause)
  )
}

/** Resolves with the reason once somebody wants the node to stop. A second signal does not wait for anything. */
async function untilAsked(): Promise<string> {
  return await new Promise((resolve) => {
    let asked = false
    for (const signal of stopSignals) {
      process.on(signal, () => {
        if (asked) leaveForSure(128 + constants.signals[signal])
        asked = true
        resolve(signal)
      })
    }
    // Started with a channel to its parent, as `quorate dev` does: the node does not outlive it.
    if (process.connected) process.once('disconnect', () => resolve('the parent process is gone'))
  })
}
