import type { Test } from 'tap'
import { runProgram } from '../../src/cli/program.ts'
import type { Terminal } from '../../src/cli/terminal.ts'

export interface Ran {
  readonly code: number
  readonly out: string
  readonly bytes: Buffer
  readonly err: string
}

export interface CliWorld {
  readonly environment?: Readonly<Record<string, string>>
  /** Absent: nothing is connected to the standard input. */
  readonly input?: string
  readonly interactive?: boolean
  /** The command line as the system has it. Absent: the system does not show it. */
  readonly commandLine?: Uint8Array
  readonly interactiveErrors?: boolean
  /** Ctrl-C is pressed when this resolves. `printed` returns the output so far. */
  readonly interrupt?: (printed: () => string) => Promise<void>
}

/** A terminal that shows nothing, with nobody at it. */
export const silentTerminal: Terminal = {
  environment: {},
  interactive: false,
  interactiveErrors: false,
  hasInput: false,
  commandLine: () => null,
  print: () => undefined,
  printPiece: async () => undefined,
  needOutput: () => undefined,
  printError: () => undefined,
  input: async function* () {
    yield await Promise.resolve(Buffer.of())
  },
  leaveInput: () => undefined,
  untilInterrupted: async () => undefined,
  beforeSignalEnds: () => () => undefined,
}

/** Runs one command line within this process, with a terminal in memory. */
export async function runCli(words: readonly string[], world: CliWorld = {}): Promise<Ran> {
  const out: Buffer[] = []
  let err = ''
  const typed = Buffer.from(world.input ?? '')
  const code = await runProgram(words, {
    ...silentTerminal,
    environment: world.environment ?? {},
    interactive: world.interactive ?? false,
    interactiveErrors: world.interactiveErrors ?? false,
    commandLine: () => world.commandLine ?? null,
    print: (text) => void out.push(Buffer.from(text)),
    printPiece: async (piece) => void out.push(Buffer.from(piece)),
    printError: (text) => {
      err += text
    },
    hasInput: world.input !== undefined,
    input: async function* () {
      yield typed
    },
    untilInterrupted: async () => await world.interrupt?.(() => Buffer.concat(out).toString('utf8')),
  })
  const bytes = Buffer.concat(out)
  return { code, out: bytes.toString('utf8'), bytes, err }
}

/** The command did what it was asked, and said `out` and nothing else. */
export function prints(t: Test, ran: Ran, out: string): void {
  t.strictSame({ code: ran.code, out: ran.out, err: ran.err }, { code: 0, out, err: '' })
}
