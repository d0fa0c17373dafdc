import { closeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { isatty } from 'node:tty'
import type { SettingView } from '../api/diagnostics.ts'
import type { Config } from '../config/config.ts'
import { effectiveSettings } from '../config/effective.ts'
import { readConfig } from '../config/read-config.ts'
import { describeMistakes } from '../config/setting.ts'
import { readDescriptorLimit, shareDescriptors } from '../descriptors.ts'
import { AddressError } from '../lib/address-error.ts'
import { StorageError } from '../lib/errors.ts'
import { InvariantError } from '../lib/assert.ts'
import { toError } from '../lib/to-error.ts'
import { createLog, type Log } from '../logger.ts'
import type * as serverModule from '../server.ts'
import type { Server } from '../server.ts'
import { leaveForSure } from './leaving.ts'
import { exitCodes, type Terminal } from './terminal.ts'

const stopSignals = ['SIGTERM', 'SIGINT'] as const
/** It stops a node as well, unless the node has files to read again. */
const reloadSignal = 'SIGHUP'

/**
 * Runs a node until it is told to stop or cannot go on; then the process ends with one of `exitCodes`. Returns only when the
 * node was not started at all.
 */
export async function serve(terminal: Terminal, flags: readonly string[]): Promise<number> {
  const outcome = readConfig(flags, terminal.environment)
  if (outcome.kind === 'mistakes') {
    terminal.printError(`quorate serve: the configuration is wrong\n${describeMistakes(outcome.mistakes)}`)
    return exitCodes.usage
  }
  // The listener for the end of the parent keeps the process alive. From here on, this function must exit the process, not return.
  const { config, warnings, given } = outcome
  const hasFiles = config.tlsCert !== null || config.peerTlsCert !== null
  const asked = untilAsked(hasFiles ? stopSignals : [...stopSignals, reloadSignal])
  let reload = async (): Promise<void> => undefined
  if (hasFiles) process.on(reloadSignal, () => void reload())
  const log = createLog(config)
  const { logger, output } = log
  leaveTerminalsAlone()
  for (const warning of warnings) logger.warn({}, warning)

  /** Exits at once: a write that hangs in the thread pool must not keep a failed node alive. */
  const leave = (code: number, message: string, error: Error): never => {
    logger.fatal({ ...(isExpected(error) ? { reason: error.message } : { err: error }), exitCode: code }, message)
    terminal.printError(`quorate: ${message}: ${error.message}\n`)
    output.flush()
    return leaveForSure(code)
  }
  // Unhandled rejections arrive here too. Either one means a broken invariant.
  process.on('uncaughtException', (error) => leave(exitCodes.brokenInvariant, 'stopped by an unexpected error', error))

  const stopped = (outcome: 'stopped' | 'late'): never => {
    if (outcome === 'stopped') logger.info({}, 'stopped')
    output.flush()
    return outcome === 'late' ? leaveForSure(exitCodes.stopped) : process.exit(exitCodes.stopped)
  }
  const giveUp = new AbortController()
  const starting = start(config, { log, settings: effectiveSettings(given) }, giveUp.signal)
  const begun = await Promise.race([asked, starting])
  if (begun instanceof Error) {
    return leave(codeOfRefusal(begun), 'refused to start', begun)
  }
  if (typeof begun === 'string') {
    logger.info({ reason: begun }, 'stopping before the start is complete')
    giveUp.abort()
    return stopped(await Promise.race([endStart(starting), delay(config.shutdownTimeoutMs, 'late' as const)]))
  }
  reload = async () => await begun.reloadCertificates()
  const end = await Promise.race([asked, begun.fault])
  if (end instanceof StorageError) return leave(exitCodes.storageFault, 'stopped by a storage fault', end)
  if (end instanceof Error) return leave(exitCodes.brokenInvariant, 'stopped by a broken invariant', end)

  logger.info({ reason: end }, 'stopping')
  const fault = await Promise.race([begun.stop(), begun.fault])
  if (fault === 'late') return stopped('late')
  if (fault instanceof StorageError) return leave(exitCodes.storageFault, 'a storage fault while stopping', fault)
  if (fault instanceof Error) return leave(exitCodes.brokenInvariant, 'a broken invariant while stopping', fault)
  return stopped('stopped')
}

type ServerModule = typeof serverModule

/**
 * `import` opens all files that it has heard of before it reads the first of them. With few descriptors there are not enough for the hundreds of
 * modules of a server, so they are loaded one by one; that takes less time, too.
 */
async function loadServer(): Promise<ServerModule> {
  // As TypeScript, when a test runs it.
  if (import.meta.url.endsWith('.ts')) return await import('../server.ts')
  return createRequire(import.meta.url)('../server.js') as ServerModule
}

interface Told {
  readonly log: Log
  readonly settings: readonly SettingView[]
}

/** The running node, or the reason why there is none. */
async function start(config: Config, { log, settings }: Told, signal: AbortSignal): Promise<Server | Error> {
  const { logger, output, recent } = log
  try {
    const shares = shareDescriptors(readDescriptorLimit(), config)
    if (shares.shortage !== null) logger.warn({ reason: shares.shortage }, 'few descriptors')
    const { startServer } = await loadServer()
    // Loading takes a while. Until it is done, there is nothing to close.
    await turn()
    signal.throwIfAborted()
    const diagnostics = { settings, log: recent }
    return await startServer(config, { logger, shares, signal, diagnostics, logLinesDropped: () => output.dropped })
  } catch (error) {
    return toError(error)
  }
}

/** Waits for the start to end, however it ends: to a user who wants the node to stop, its failure does not matter. */
async function endStart(starting: Promise<Server | Error>): Promise<'stopped' | 'late'> {
  const server = await starting
  return server instanceof Error ? 'stopped' : await server.stop()
}

/** At its end Node restores every terminal to its first state, and aborts when one is gone by then. It skips terminals that are closed. */
function leaveTerminalsAlone(): void {
  const terminals = [0, 1, 2].filter((fd) => isatty(fd))
  process.once('exit', () => terminals.forEach((fd) => closeSync(fd)))
}

/** For whatever starts the node again: another attempt may help when an address is not there yet, and in no other case. */
function codeOfRefusal(error: Error): number {
  if (error instanceof InvariantError) return exitCodes.brokenInvariant
  return error instanceof AddressError && error.mayPass ? exitCodes.addressUnavailable : exitCodes.refused
}

/** Whether the message says everything: the directory, an address or a certificate cannot be used. A stack trace would help nobody. */
function isExpected(error: Error): boolean {
  return (
    (error instanceof StorageError && error.kind === 'refused') ||
    error instanceof AddressError ||
    error.name === 'CredentialsError' ||
    (error.cause instanceof Error && 'syscall' in error.cause)
  )
}

/** Resolves with the reason when the node shall stop. A second signal ends the process at once. */
async function untilAsked(signals: readonly NodeJS.Signals[]): Promise<string> {
  return await new Promise((resolve) => {
    let asked = false
    for (const signal of signals) {
      process.on(signal, () => {
        if (asked) leaveForSure(128 + constants.signals[signal])
        asked = true
        resolve(signal)
      })
    }
    // A node with a channel to its parent, as `quorate dev` starts it, does not outlive the parent.
    if (process.connected) process.once('disconnect', () => resolve('the parent process has ended'))
  })
}
