import { once } from 'node:events'
import { fstatSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { runProgram } from './cli/program.ts'
import { exitCodes, type Terminal } from './cli/terminal.ts'
import { keepMemoryOutOfDumps } from './core-dump.ts'
import { toError } from './lib/to-error.ts'

const terminal: Terminal = {
  environment: process.env,
  interactive: process.stdout.isTTY,
  interactiveErrors: process.stderr.isTTY,
  hasInput: hasInput(),
  commandLine,
  print: (text) => void process.stdout.write(text),
  printPiece: async (piece) => {
    if (!process.stdout.write(piece)) await once(process.stdout, 'drain')
  },
  printError: (text) => void process.stderr.write(text),
  readInput: async () => {
    const chunks: Buffer[] = []
    for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array))
    return Buffer.concat(chunks)
  },
  input: () => process.stdin,
  untilInterrupted: async () => {
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
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

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // In `quorate kv ls | head` the reader has seen enough, which is no error.
  if (error.code === 'EPIPE') process.exit(exitCodes.stopped)
  // A command prints what it has done, so its effect is there by now.
  terminal.printError(`quorate: the output could not be written (${error.message}), but the command was carried out\n`)
  process.exit(exitCodes.outputLost)
})
// There is no other place to report this error.
process.stderr.on('error', () => undefined)

try {
  process.exitCode = await runProgram(process.argv.slice(2), terminal)
} catch (error) {
  // A node has its own words for it.
  if (process.listenerCount('uncaughtException') > 0) throw error
  const { stack, message } = toError(error)
  terminal.printError(`quorate: an unexpected error, which is a fault of quorate: report it\n${stack ?? message}\n`)
  process.exit(exitCodes.brokenInvariant)
}
