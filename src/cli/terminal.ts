/** What a command sees of the world, so that a test can be the terminal. */
export interface Terminal {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Whether a person reads the output. */
  readonly interactive: boolean
  print(text: string | Uint8Array): void
  printError(text: string): void
  /** Whether the standard input is a person, a file, a pipe or a socket; not where it is closed or `/dev/null`. */
  readonly hasInput: boolean
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
  /** A command of the client: the server refused the request, for a reason that has no code of its own below. */
  requestFailed: 5,
  keyNotFound: 6,
  /** The key is not at the revision, or not absent, as the command demanded. */
  conditionFailed: 7,
  /** The cluster has no leader that a majority follows. */
  noQuorum: 8,
  /** Nobody answers at the servers that were named. Nothing was changed. */
  unreachable: 9,
  /** The change that was asked for may or may not take effect. */
  outcomeUnknown: 10,
  /** The command did what was asked, but its output could not be written. */
  outputLost: 11,
} as const

/** A command cannot be carried out as it was typed. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
