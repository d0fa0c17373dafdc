/** Everything that a command uses of its process, so that a test can stand in for it. */
export interface Terminal {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Whether a person reads the output. */
  readonly interactive: boolean
  /** Whether a person reads what is printed as an error. */
  readonly interactiveErrors: boolean
  /** The command line as the system has it, with a zero behind each word. Null: this system does not show it. */
  commandLine(): Uint8Array | null
  print(text: string | Uint8Array): void
  /** Prints a piece of a long output. Resolves when there is room for the next one, or `signal` aborts. */
  printPiece(piece: Uint8Array, signal?: AbortSignal): Promise<void>
  /**
   * From now on a part of the output is of no use: it is an error when its reader leaves before its end, too. `instead` is then printed as an error,
   * so that a secret is not lost.
   */
  needOutput(instead?: string): void
  printError(text: string): void
  /** Whether the standard input is a person, a file, a pipe or a socket; false when it is closed or `/dev/null`. */
  readonly hasInput: boolean
  /** Everything on the standard input, piece by piece; to be read once. */
  input(): AsyncIterable<Uint8Array>
  /** What is still to come on the standard input keeps the process no longer. */
  leaveInput(): void
  /** Resolves when the user stops the command with Ctrl-C. After this call Ctrl-C no longer ends the process by itself. */
  untilInterrupted(): Promise<void>
  /**
   * Calls `cleanUp`, which cannot wait for anything, when SIGINT, SIGTERM or SIGHUP is about to end the process; the process ends with that
   * signal afterwards. Returns what takes this back.
   */
  beforeSignalEnds(cleanUp: () => void): () => void
}

/** The exit codes of the process. docs/OPERATIONS.md describes them. */
export const exitCodes = {
  stopped: 0,
  usage: 1,
  refused: 2,
  storageFault: 3,
  brokenInvariant: 4,
  /** For client commands: the server refused the request for a reason that has no code of its own below. */
  requestFailed: 5,
  keyNotFound: 6,
  /** The command demanded a revision that the key does not have, or that the key is absent. */
  conditionFailed: 7,
  /** The cluster has no leader that a majority follows. */
  noQuorum: 8,
  /** None of the named servers answers. Nothing was changed. */
  unreachable: 9,
  /** The change that was asked for may or may not take effect. */
  outcomeUnknown: 10,
  /** The command did what was asked, but its output could not be written. */
  outputLost: 11,
  /** A backup is cut off, damaged, or of a newer format; or the file is none. */
  backupUnusable: 12,
  /** For `check`: something is not as it should be. */
  checkFailed: 13,
  /** For `check consistency`: no order of the operations explains what clients were told. */
  notLinearizable: 14,
  /** For `check`: too little was seen, or the search took too long, for a verdict. */
  inconclusive: 15,
  /** An address of a node is not there, or its name cannot be looked up: as a machine starts, the next start may succeed. */
  addressUnavailable: 16,
} as const

/** A command line cannot be carried out as it was typed. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
