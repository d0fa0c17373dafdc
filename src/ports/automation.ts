import type { LogId } from '../raft/index.ts'
import type { Discovery } from './discovery.ts'

/** A node and its addresses, as they are written into a membership. */
export interface NodeEndpoints {
  readonly id: number
  readonly raft: string
  readonly api: string
}

/** The cluster that a node has promised to form, or none (raft.md 3). */
export interface Pledge {
  readonly clusterId: string
  /** Ascending by id. */
  readonly members: readonly NodeEndpoints[]
}

/** What a node remembers about clusters that it does not belong to, or not yet (raft.md 3). */
export interface FormationMemory {
  /** The round of the latest pledge, even if that was withdrawn; 0 before the first. */
  readonly round: number
  readonly pledge: Pledge | null
  /** A cluster that had a leader; null when none was met. */
  readonly metCluster: string | null
}

/** The memory of a node that has pledged nothing and met no cluster. */
export const NOTHING_REMEMBERED: FormationMemory = { round: 0, pledge: null, metCluster: null }

export interface FormationRegister {
  load(): Promise<FormationMemory>
  /** Resolves once `memory` is on stable storage, in place of what was there before. */
  store(memory: FormationMemory): Promise<void>
}

/** What was learnt about a node that answered a probe. */
export interface NodeFacts extends NodeEndpoints {
  readonly incarnation: string
  readonly clusterId: string | null
  /** It holds entries of its cluster. Without any, it is bound to that cluster by its vote, or has only just begun to form it. */
  readonly hasLog: boolean
  /** It has followed a leader, or led: its cluster is on the disks of a majority. */
  readonly hadLeader: boolean
  /** It has given a vote, or holds entries. */
  readonly initialized: boolean
  /** The digest of its token; null when its build does not say. */
  readonly token: string | null
  /** What it says about automatic formation; null when that is off there. */
  readonly candidacy: {
    /** Stands for its cluster token: equal tokens have equal digests. */
    readonly token: string
    /** The id of the cluster that it would form now; null when it would form none. */
    readonly proposal: string | null
    /** The round of its latest pledge, even if that was withdrawn; 0 before the first. */
    readonly round: number
    readonly pledge: Pledge | null
  } | null
  /** The voters and learners of the membership that it knows. */
  readonly members: readonly number[]
  /** The voters among them. */
  readonly voters: readonly number[]
  /** The entry that set that membership. */
  readonly membershipAt: LogId | null
}

/** The result of asking an address. */
export type Sighting =
  | { readonly kind: 'node'; readonly address: string; readonly node: NodeFacts }
  /** A node answers there and refuses this one. `code` as in `Refusal`. */
  | { readonly kind: 'refused'; readonly address: string; readonly code: string; readonly detail: string }
  | { readonly kind: 'unreachable'; readonly address: string; readonly detail: string }

export interface FormationRules {
  /** How many nodes form the cluster. */
  readonly expected: number
  readonly delayMs: number
  /** The digest of this node's token. */
  readonly token: string
  /** Whether a cluster of this id carries this node's token. */
  readonly carriesToken: (clusterId: string) => boolean
  /** The id of the cluster that these members would form. */
  readonly clusterIdOf: (members: readonly NodeEndpoints[]) => string
}

/** All that a node knows when it decides whether to form a cluster. */
export interface FormationView {
  readonly self: NodeEndpoints & {
    readonly incarnation: string
    readonly clusterId: string | null
    readonly hasLog: boolean
    readonly initialized: boolean
    /** What this node tells others that it would form. */
    readonly proposal: string | null
    /** The round of its latest pledge, even if that was withdrawn; 0 before the first. */
    readonly round: number
    readonly pledge: Pledge | null
    /** Members of the pledge that are known to have given the same pledge in the same round, or to have begun that cluster. */
    readonly agreed: ReadonlySet<number>
  }
  readonly sinceStartMs: number
  /** A cluster of this node's token that had a leader, met at any time; null when there was none. */
  readonly metCluster: string | null
  /** One for each address that was found, except those that lead to this node itself. */
  readonly sightings: readonly Sighting[]
  readonly discoveryProblem: string | null
}

interface Judgement {
  /** A sentence for people. It stays the same for as long as nothing changes. */
  readonly reason: string
  /** How many distinct nodes of this token are there, this one included. */
  readonly seen: number
}

export type FormationDecision =
  | (Judgement & {
      readonly kind: 'wait'
      /** What this node would form once the others propose the same; null: nothing yet. */
      readonly proposal: Pledge | null
    })
  /** Give a pledge. `round`: the round in which others gave it already; null: ask the members once more, then give it in a new round. */
  | (Judgement & { readonly kind: 'agree'; readonly proposal: Pledge; readonly round: number | null })
  /** Take the pledge back: nobody can form that cluster any more. */
  | (Judgement & { readonly kind: 'withdraw'; readonly proposal: null })
  | (Judgement & { readonly kind: 'form'; readonly proposal: Pledge })
  /**
   * `join`: wait for an existing cluster to find this node. `refuse`: an operator has to correct something. `resume`: this node has a
   * cluster.
   */
  | (Judgement & { readonly kind: 'join' | 'refuse' | 'resume'; readonly proposal: null })

/** A member as the leader sees it. */
export interface MemberFacts {
  readonly id: number
  readonly self: boolean
  /** It was heard within an election timeout. */
  readonly live: boolean
  /** How long it has not been heard. If it never was, counted from when this node began to lead or the other became a member. */
  readonly silentMs: number
  /** How long it has been live and close behind without interruption; null: it is not. */
  readonly stableMs: number | null
}

/** All that a leader knows when it decides about the membership. */
export interface MembershipFacts {
  readonly leading: boolean
  readonly ledMs: number
  /** No change is under way, and this leader may begin one. */
  readonly settled: boolean
  readonly voters: readonly MemberFacts[]
  readonly learners: readonly MemberFacts[]
  /** Nodes without a cluster that want to join, and nodes whose joining was begun but not completed. */
  readonly joinable: readonly NodeEndpoints[]
  /** Members that report other addresses than the membership lists for them. */
  readonly moved: readonly NodeEndpoints[]
}

export interface JoiningRules {
  readonly autoJoin: boolean
  readonly votersTarget: number
  readonly stabilizationMs: number
  readonly membersMax: number
}

export type JoiningDecision =
  | { readonly kind: 'none'; readonly reason: string }
  | { readonly kind: 'add-learner'; readonly member: NodeEndpoints; readonly reason: string }
  | { readonly kind: 'promote'; readonly id: number; readonly reason: string }
  | { readonly kind: 'move'; readonly members: readonly NodeEndpoints[]; readonly reason: string }

export type AutopilotMode = 'off' | 'dry-run' | 'on'

export interface AutopilotRules {
  readonly mode: AutopilotMode
  readonly deadNodeAfterMs: number
  readonly minVoters: number
  readonly stabilizationMs: number
}

export type AutopilotDecision =
  | { readonly kind: 'none'; readonly reason: string }
  | { readonly kind: 'replace-voter'; readonly id: number; readonly by: number; readonly reason: string }
  | { readonly kind: 'remove-voter' | 'remove-learner'; readonly id: number; readonly reason: string }

/** The decisions alone, without anything that carries them out: the same facts give the same decision. */
export interface Judges {
  decideFormation(rules: FormationRules, view: FormationView): FormationDecision
  decideJoining(rules: JoiningRules, facts: MembershipFacts): JoiningDecision
  decideAutopilot(rules: AutopilotRules, facts: MembershipFacts): AutopilotDecision
}

/** What a node does about its cluster on its own. Times are in milliseconds. */
export interface AutomationPlan {
  readonly judges: Judges
  /** Null: clusters are formed and joined by hand. */
  readonly formation: {
    readonly discovery: Discovery
    readonly expected: number
    readonly delayMs: number
    readonly autoJoin: boolean
    readonly votersTarget: number
  } | null
  readonly autopilot: {
    readonly mode: AutopilotMode
    readonly deadNodeAfterMs: number
    readonly minVoters: number
  }
  /** How long a learner has to keep up before it may vote. */
  readonly stabilizationMs: number
  /** How often a node that belongs to no cluster asks each address, and how often a leader checks its members. */
  readonly intervalMs: number
  readonly probeTimeoutMs: number
}
