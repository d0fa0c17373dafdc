import type { Branded } from '../lib/brand.ts'

/** Identifies a member for its whole life: a positive integer below 2^31, never reused. */
export type NodeId = Branded<number, 'NodeId'>
/** Counts campaigns. 0 before the first. Below 2^53. */
export type Term = Branded<number, 'Term'>
/** A position in the log. The first entry has index 0; `BEFORE_FIRST` (-1) stands for "no entry". Below 2^53. */
export type LogIndex = Branded<number, 'LogIndex'>

export const BEFORE_FIRST = -1 as LogIndex

export function nodeId(value: number): NodeId {
  return value as NodeId
}

export function term(value: number): Term {
  return value as Term
}

export function logIndex(value: number): LogIndex {
  return value as LogIndex
}

/** A ballot: at most one node can lead under it. Totally ordered, term first, then node id. `(0, 0)` belongs to nobody. */
export interface LeaderId {
  readonly term: Term
  readonly nodeId: NodeId | 0
}

/** A node's promise to accept nothing below this ballot. `committed`: a quorum granted the ballot, so its owner leads. */
export interface Vote {
  readonly leaderId: LeaderId
  readonly committed: boolean
}

/** An entry's identity. Two entries with the same log id are the same entry, and everything before them is the same too. */
export interface LogId {
  readonly leaderId: LeaderId
  readonly index: LogIndex
}

export const LEADER_ID_ZERO: LeaderId = { term: term(0), nodeId: 0 }
export const VOTE_ZERO: Vote = { leaderId: LEADER_ID_ZERO, committed: false }

export function compareLeaderIds(a: LeaderId, b: LeaderId): number {
  return a.term - b.term || a.nodeId - b.nodeId
}

export function sameLeaderId(a: LeaderId, b: LeaderId): boolean {
  return a.term === b.term && a.nodeId === b.nodeId
}

/** Orders by ballot; a committed vote is above the same ballot uncommitted. */
export function compareVotes(a: Vote, b: Vote): number {
  return compareLeaderIds(a.leaderId, b.leaderId) || Number(a.committed) - Number(b.committed)
}

/** Orders by (ballot, index); null, for no log at all, is the smallest. */
export function compareLogIds(a: LogId | null, b: LogId | null): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null)
  return compareLeaderIds(a.leaderId, b.leaderId) || a.index - b.index
}

export function sameLogId(a: LogId | null, b: LogId | null): boolean {
  return compareLogIds(a, b) === 0
}

/** The index of `id`, or `BEFORE_FIRST` for none. */
export function indexOf(id: LogId | null): LogIndex {
  return id === null ? BEFORE_FIRST : id.index
}

/** Where a member is reached. `raft`: `host:port`. `api`: `http://host:port` or `https://host:port`, no path. */
export interface NodeAddresses {
  readonly raft: string
  readonly api: string
  /**
   * In a membership: the incarnation of the data directory with which the member joined, once a leader has asked it. The core only passes
   * it on.
   */
  readonly incarnation?: string
}

/**
 * Which nodes vote and which only listen.
 *
 * Guarantees, checked by `checkMembership`:
 *  1. `configs` has one element, or two while a change is in progress (joint: [old voters, new voters]).
 *  2. Every config is non-empty, ascending, without repeats, and each voter is in `nodes`.
 *  3. A node in `nodes` and in no config is a learner.
 *  4. `removing` is empty unless joint; then it names the nodes (voters of the old config only) that the final configuration drops.
 */
export interface Membership {
  readonly configs: readonly (readonly NodeId[])[]
  readonly nodes: ReadonlyMap<NodeId, NodeAddresses>
  readonly removing: readonly NodeId[]
}

/** A membership and the entry that set it. `logId` is null on a node that knows no membership yet (then `configs` is empty). */
export interface StoredMembership {
  readonly logId: LogId | null
  readonly membership: Membership
}

export const NO_MEMBERSHIP: StoredMembership = {
  logId: null,
  membership: { configs: [], nodes: new Map(), removing: [] },
}

/**
 * Consecutive entries `[first, last]` written by one leader.
 * The core passes `body` on and never looks into it; its format is that of lib/entries.
 */
export interface LogBatch {
  readonly leaderId: LeaderId
  readonly first: LogIndex
  readonly last: LogIndex
  readonly body: Uint8Array
  /** The number of entries that set a membership. */
  readonly membershipCount: number
}

export type NodeState = 'learner' | 'follower' | 'candidate' | 'leader'
