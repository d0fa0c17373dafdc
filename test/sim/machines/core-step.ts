import type { Effects, Raft, RaftView } from '../../../src/raft/index.ts'

/** One step of a node's core. */
export interface CoreStep {
  readonly raft: Raft
  readonly effects: Effects
  readonly view: RaftView
  /** The view after the previous step in this life of the process; null before the first step. */
  readonly before: RaftView | null
}
