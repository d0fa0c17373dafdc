/** The parts of the REST answers that callers use. Shapes are those of the OpenAPI document; further members may be there. */

export interface LogIdAnswer {
  readonly term: number
  readonly node: number
  readonly index: number
}

export interface WriteAnswer {
  readonly revision: number
  readonly createRevision: number
  readonly version: number
}

export interface DeleteAnswer {
  readonly revision: number
  readonly deleted: number
}

export interface RecordAnswer {
  readonly key: string
  readonly value?: string
  readonly valueBase64?: string
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
}

export interface ListAnswer {
  readonly items: readonly RecordAnswer[]
  readonly revision: number
  readonly cursor?: string
}

export interface MembershipAnswer {
  readonly membership: {
    readonly configs: readonly (readonly number[])[]
    readonly learners: readonly number[]
    readonly nodes: Readonly<Record<string, { readonly raft: string; readonly api: string }>>
  }
  readonly logId: LogIdAnswer | null
  readonly committed: boolean
  readonly joint: boolean
}

export interface InitializeAnswer {
  readonly clusterId: string
  readonly logId: LogIdAnswer
  readonly membership: MembershipAnswer['membership']
}

export interface LearnerAnswer {
  readonly logId: LogIdAnswer | null
  readonly lag: number
  readonly caughtUp: boolean
}

export interface MemberStatusAnswer {
  readonly raft: string
  readonly api: string
  readonly role: 'voter' | 'learner'
  readonly priority: number | null
  readonly reachable: boolean | null
  readonly matched: number | null
  readonly lag: number | null
  readonly lastContactMs: number | null
  /** Nodes of earlier versions say nothing about these two. */
  readonly phase?: string | null
  readonly remainingMs?: number | null
  readonly snapshot: { readonly percent: number; readonly state?: string } | null
}

/** What a node decided to do about its cluster by itself. */
export interface StanceAnswer {
  readonly mode: string
  readonly decision: string
  readonly reason: string
}

export interface ClusterAnswer {
  readonly clusterId: string | null
  readonly node: {
    readonly id: number
    readonly state: string
    readonly incarnation: string
    readonly version: string
    readonly uptimeMs: number
  }
  readonly leader: number | null
  readonly term: number
  readonly lastLogId: LogIdAnswer | null
  readonly committed: LogIdAnswer | null
  readonly applied: LogIdAnswer | null
  readonly purged: LogIdAnswer | null
  readonly membership: { readonly effective: MembershipAnswer; readonly joint: boolean } | null
  readonly nodes: Readonly<Record<string, MemberStatusAnswer>>
  readonly failureTolerance: number
  readonly formation: StanceAnswer
  readonly joining: StanceAnswer
  readonly autopilot: StanceAnswer
  readonly warnings: readonly { readonly code: string; readonly detail: string }[]
}
