/** What a command sees of the world, so that a test can be the terminal. */
export interface Terminal {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Whether a person reads the output. */
  readonly interactive: boolean
  print(text: string | Uint8Array): void
  printError(text: string): void
  /** Everything on the standard input. */
  readInput(): Promise<Uint8Array>
  /** Resolves when whoever reads has seen enough (Ctrl-C). From the call on that does not end the process by itself. */
  untilInterrupted(): Promise<void>
}

/** What a process of Quorate ends with. Documented in docs/OPERATIONS.md. */
export const exitCodes = {
  stopped: 0,
  usage: 1,
  refused: 2,
  storageFault: 3,
  brokenInvariant: 4,
  /** A command of the client: the server refused the request or could not be reached. */
  requestFailed: 5,
} as const

/** A command cannot be carried out as it was typed. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
