import type { Answer, Operation as Recorded } from '../../../src/checker/operation.ts'
import type { Need } from '../../../src/kv/index.ts'
import type { LeaderId, LogIndex } from '../../../src/raft/index.ts'

/** A commit index from a leader, and the time of its arrival on the node's clock. */
export interface LeaderWord {
  readonly at: number
  readonly committed: LogIndex
  readonly leaderId: LeaderId
}

/** From the arrival of a request at a node to its answer. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** One node's answer. */
export interface Heard {
  readonly answer: Answer
  /** The cluster of the answering node. */
  readonly clusterId: string
  /** The answer must reflect all writes acknowledged before this moment of virtual time; null for a read without a bound on its age. */
  readonly freshAt: number | null
  readonly span?: Span
  /** The name of the life of the process that has answered. */
  readonly life?: string
}

/** A node's refusal because of the token. */
export interface Denied {
  readonly clusterId: string
  readonly span: Span
  readonly code: string
  readonly message: string
}

/** What a client of the simulator did. Times are virtual. */
export interface Operation extends Recorded {
  /** All answers, when several nodes were asked at the same time. The first one is that of the outcome. */
  heard?: readonly Heard[]
  /** All refusals because of the token. */
  denials?: readonly Denied[]
  /** The hash of the secret with which it was asked; null: without one. Undefined in a run without tokens. */
  readonly secret?: string | null
  /** It came to a node that has no vote, which may have yet to catch up with the others. */
  atLearner?: true
  /** It came to a node whose membership was just being changed: two configurations are in effect. */
  duringChange?: true
  /** When the client gave up without an answer. */
  leftAt?: number
  /** The text that identifies the values of this operation in the log; null when it writes none. */
  readonly mark: string | null
  /** It sends a write again, under its name, that was answered before. */
  readonly repeats?: true
  /** What its client must be allowed to do, where the request does not tell. */
  readonly needs?: readonly Need[]
}
