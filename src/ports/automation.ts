import type { LogId } from '../raft/index.ts'
import type { Discovery } from './discovery.ts'

/** A node and where it is reached, as it is written into a membership. */
export interface Place {
  readonly id: number
  readonly raft: string
  readonly api: string
}

/** The cluster that a node has promised to form, or none (raft.md 3). */
export interface Pledge {
  readonly clusterId: string
  /** Ascending by id. */
  readonly members: readonly Place[]
}

/** What a node remembers of clusters that it does not belong to, or not yet (raft.md 3). */
export interface FormationMemory {
  /** The round of the latest pledge, also when that was withdrawn; 0 before the first. */
  readonly round: number
  readonly pledge: Pledge | null
  /** A cluster that had a leader. */
  readonly metCluster: string | null
}

/** What a node that has promised and met nothing remembers. */
export const NOTHING_REMEMBERED: FormationMemory = { round: 0, pledge: null, metCluster: null }

export interface FormationRegister {
  load(): Promise<FormationMemory>
  /** Resolves once it is on stable storage, in place of what was there before. */
  store(memory: FormationMemory): Promise<void>
}

/** What was learnt of a node that answered a probe. */
export interface NodeFacts extends Place {
  readonly incarnation: string
  readonly clusterId: string | null
  /** It holds entries of its cluster; without any it is bound to that cluster by its vote, or has only just begun to form it. */
  readonly hasLog: boolean
  /** It has followed a leader, or led: its cluster is on the disks of a majority. */
  readonly hadLeader: boolean
  /** It has given a vote, or holds entries. */
  readonly initialized: boolean
  /** What it says of automatic formation; null when that is off there. */
  readonly candidacy: {
    /** Stands for its cluster token: equal tokens have equal digests. */
    readonly token: string
    /** The id of the cluster that it would form now; null when it would form none. */
    readonly proposal: string | null
    /** The round of its latest pledge, also when that was withdrawn; 0 before the first. */
    readonly round: number
    readonly pledge: Pledge | null
  } | null
  /** Voters and learners of the membership that it knows. */
  readonly members: readonly number[]
  /** Those of them that vote. */
  readonly voters: readonly number[]
  /** The entry that set that membership. */
  readonly membershipAt: LogId | null
}

/** What came of asking an address. */
export type Sighting =
  | { readonly kind: 'node'; readonly address: string; readonly node: NodeFacts }
  /** Somebody answers there, and wants nothing to do with this node. `code` as in `Refusal`. */
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
  readonly clusterIdOf: (members: readonly Place[]) => string
}

/** All that a node knows when it decides whether to form a cluster. */
export interface FormationView {
  readonly self: Place & {
    readonly incarnation: string
    readonly clusterId: string | null
    readonly hasLog: boolean
    readonly initialized: boolean
    /** What it tells others that it would form. */
    readonly proposal: string | null
    /** The round of its latest pledge, also when that was withdrawn; 0 before the first. */
    readonly round: number
    readonly pledge: Pledge | null
    /** Members of the pledge that were heard to have given the same in the same round, or to have begun that cluster. */
    readonly agreed: ReadonlySet<number>
  }
  readonly sinceStartMs: number
  /** A cluster of this node's token that had a leader, met at any time; null when there was none. */
  readonly metCluster: string | null
  /** One for each address that was found, save those that lead to this node. */
  readonly sightings: readonly Sighting[]
  readonly discoveryProblem: string | null
}

interface Judgement {
  /** A sentence for people. The same for as long as nothing changes. */
  readonly reason: string
  /** Distinct nodes of this token that are there, this one included. */
  readonly seen: number
}

export type FormationDecision =
  | (Judgement & {
      readonly kind: 'wait'
      /** What this node would form once the others propose the same; null: nothing yet. */
      readonly proposal: Pledge | null
    })
  /** To give a pledge. `round`: the one that others gave it in already; null: to be asked for once more, and given in a new round. */
  | (Judgement & { readonly kind: 'agree'; readonly proposal: Pledge; readonly round: number | null })
  /** To take the pledge back: nobody can form that cluster any more. */
  | (Judgement & { readonly kind: 'withdraw'; readonly proposal: null })
  | (Judgement & { readonly kind: 'form'; readonly proposal: Pledge })
  /** `join`: be found by a cluster that exists. `refuse`: somebody has to correct something. `resume`: this node has a cluster. */
  | (Judgement & { readonly kind: 'join' | 'refuse' | 'resume'; readonly proposal: null })

/** A member as the leader sees it. */
export interface MemberFacts {
  readonly id: number
  readonly self: boolean
  /** Heard within an election timeout. */
  readonly live: boolean
  /** For how long it has not been heard. Counted from when this node began to lead, or the other became a member, if not at all. */
  readonly silentMs: number
  /** For how long it has been live and close behind without a break; null: it is not. */
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
  /** Nodes without a cluster that wish for one, and those whose joining was begun and came to nothing. */
  readonly joinable: readonly Place[]
  /** Members that say that they are elsewhere than the membership has them. */
  readonly moved: readonly Place[]
}

export interface JoiningRules {
  readonly autoJoin: boolean
  readonly votersTarget: number
  readonly stabilizationMs: number
  readonly membersMax: number
}

export type JoiningDecision =
  | { readonly kind: 'none'; readonly reason: string }
  | { readonly kind: 'add-learner'; readonly member: Place; readonly reason: string }
  | { readonly kind: 'promote'; readonly id: number; readonly reason: string }
  | { readonly kind: 'move'; readonly members: readonly Place[]; readonly reason: string }

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

/** The decisions, without anything that carries them out: the same facts give the same decision. */
export interface Judges {
  decideFormation(rules: FormationRules, view: FormationView): FormationDecision
  decideJoining(rules: JoiningRules, facts: MembershipFacts): JoiningDecision
  decideAutopilot(rules: AutopilotRules, facts: MembershipFacts): AutopilotDecision
}

/** What a node does by itself about its cluster. Times in milliseconds. */
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
  /** How often a node that belongs to no cluster asks each address, and a leader looks at its members. */
  readonly intervalMs: number
  readonly probeTimeoutMs: number
}
