import type { Clock } from '../../ports/clock.ts'
import type { Raft } from '../../raft/index.ts'
import { indexOf } from '../../raft/index.ts'
import type { Freshness } from './freshness.ts'

export interface BacklogDependencies {
  readonly raft: Pick<Raft, 'view'>
  readonly freshness: Freshness
  readonly clock: Clock
}

/** What is committed elsewhere and still to come to this node. */
export class Backlog {
  private readonly heardMsMax: number
  private readonly deps: BacklogDependencies

  /** `heardMsMax`: how long a leader's word about its commit index counts. */
  constructor(options: { readonly heardMsMax: number }, dependencies: BacklogDependencies) {
    this.heardMsMax = options.heardMsMax
    this.deps = dependencies
  }

  /** Whether this node is being sent entries that others have committed: it may be reading an old membership. */
  get isBehind(): boolean {
    const { raft, freshness, clock } = this.deps
    return freshness.isBehind(indexOf(raft.view().last), clock.now() - this.heardMsMax)
  }
}
