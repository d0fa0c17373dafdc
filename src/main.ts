import './source-positions.ts'
import { once } from 'node:events'
import { fstatSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { runProgram } from './cli/program.ts'
import { exitCodes, type Terminal } from './cli/terminal.ts'
import { keepMemoryOutOfDumps } from './core-dump.ts'
import { toError } from './lib/to-error.ts'
import { limits } from './limits.ts'
import { StandardOutput } from './standard-output.ts'

const words = process.argv.slice(2)
const printError = (text: string): void => void process.stderr.write(text)
const output = new StandardOutput({ isJson: wantsJson(words), complain: printError })
let isInterrupted = false

const terminal: Terminal = {
  environment: process.env,
  interactive: process.stdout.isTTY,
  interactiveErrors: process.stderr.isTTY,
  hasInput: hasInput(),
  commandLine,
  print: (text) => output.print(text),
  printPiece: async (piece, signal) => await output.printPiece(piece, signal),
  needOutput: (instead = '') => output.need(instead),
  printError,
  input: () => process.stdin,
  leaveInput: () => void process.stdin.destroy(),
  untilInterrupted: async () => {
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
    isInterrupted = true
  },
  beforeSignalEnds,
}

/** Whether input can come. It cannot when the standard input is closed, or is `/dev/null` as under cron. */
function hasInput(): boolean {
  try {
    const stats = fstatSync(0)
    return process.stdin.isTTY || stats.isFIFO() || stats.isFile() || stats.isSocket()
  } catch {
    return false
  }
}

/** The words behind `--` are those of another command. */
function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf('--')
  return words.slice(0, end === -1 ? words.length : end).includes('--json')
}

function beforeSignalEnds(cleanUp: () => void): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const takeBack = (): void => {
    for (const signal of signals) process.off(signal, end)
  }
  const end = (signal: NodeJS.Signals): void => {
    takeBack()
    cleanUp()
    // The parent process sees which signal ended this one.
    process.kill(process.pid, signal)
    // Process 1 of a container is not ended by a signal of its own.
    process.exit(128 + constants.signals[signal])
  }
  for (const signal of signals) process.on(signal, end)
  return takeBack
}

function commandLine(): Uint8Array | null {
  try {
    return readFileSync('/proc/self/cmdline')
  } catch {
    return null
  }
}

// Tokens come by the environment and by files, so this is for every command.
keepMemoryOutOfDumps()

// There is no other place to report this error.
process.stderr.on('error', () => undefined)

try {
  const code = await runProgram(words, terminal)
  process.exitCode = code
  output.ended(code)
  // The reader of the output may have been stopped as well, and never take the rest.
  if (isInterrupted) setTimeout(() => process.exit(code), limits.outputRestMsMax).unref()
} catch (error) {
  // A node has its own words for it.
  if (process.listenerCount('uncaughtException') > 0) throw error
  const { stack, message } = toError(error)
  terminal.printError(`quorate: an unexpected error, which is a fault of quorate: report it\n${stack ?? message}\n`)
  process.exit(exitCodes.brokenInvariant)
}
