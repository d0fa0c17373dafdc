import type { Test } from 'tap'
import { runProgram } from '../../src/cli/program.ts'

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

/** Runs one command line within this process, with a terminal in memory. */
export async function runCli(words: readonly string[], world: CliWorld = {}): Promise<Ran> {
  const out: Buffer[] = []
  let err = ''
  const code = await runProgram(words, {
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
    readInput: async () => Buffer.from(world.input ?? ''),
    input: async function* () {
      yield Buffer.from(world.input ?? '')
    },
    untilInterrupted: async () => await world.interrupt?.(() => Buffer.concat(out).toString('utf8')),
    beforeSignalEnds: () => () => undefined,
  })
  const bytes = Buffer.concat(out)
  return { code, out: bytes.toString('utf8'), bytes, err }
}

/** The command did what it was asked, and said `out` and nothing else. */
export function prints(t: Test, ran: Ran, out: string): void {
  t.strictSame({ code: ran.code, out: ran.out, err: ran.err }, { code: 0, out, err: '' })
}
