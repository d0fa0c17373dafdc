import type { AccessToken } from '../kv/index.ts'
import type { Step } from '../lib/stages.ts'
import type { Span } from '../lib/trace-context.ts'

/** A client, by the token that it has sent. */
export interface Bearer {
  /** The hash of its secret; null: it has sent none. */
  readonly hash: string | null
  /** The token, as far as this node knows by now; null: none that is valid. */
  readonly token: AccessToken | null
}

/** The client that waits for an answer. */
export interface Caller {
  /** Nobody will take the answer any more. Never becomes false again. */
  readonly isGone: boolean
  /** The client has closed its sending side at least, so that nobody can tell whether it still reads. Left out: as `isGone`. */
  readonly hasEnded?: boolean
  /** Calls `then`, once, if the connection closes before the answer has left. */
  onUndelivered?(then: () => void): void
  /** The span of its request on this node; null or left out: the request belongs to no trace. */
  readonly span?: Span | null
  /** Who it is, if this node knew of no tokens when the request came, and it has sent one. */
  readonly bearer?: Bearer | null
  /**
   * A step of its request, which began at `since`, is over. `number`: the index of the entry of a write, when it is known. Left out: nobody
   * wants to know where the time goes.
   */
  onStep?(step: Step, since: number, number?: number): void
}

/** Asks whether the client may still have what it is about to be given. */
export interface Guard {
  /** Throws `RequestError`: `unauthenticated`, `forbidden`. */
  check(): void
}
