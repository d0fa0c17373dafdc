import type { NodeReport } from '../../ports/transport.ts'
import type { NodeId } from '../../raft/index.ts'
import { compareLogIds } from '../../raft/index.ts'
import { dropOldest } from '../../lib/drop-oldest.ts'
import { limits } from '../../limits.ts'
import type { Incarnations } from './incarnations.ts'
import type { MembershipSource } from './peers-options.ts'

export interface BriefingDependencies {
  readonly incarnations: Pick<Incarnations, 'of' | 'learn'>
  readonly raft: MembershipSource
}

interface Told {
  readonly incarnations: ReadonlyMap<NodeId, string>
  state: 'heard' | 'being written' | 'written'
}

/**
 * What peers report about the incarnations of members that this node has not met.
 *
 * A node that holds the first entry of its cluster may stand for election, and that entry names no incarnations. So a node without entries
 * takes none, and no state either, from a peer that it has not called back, and writes down first whom the peer knows: a voter that has
 * lost its data by then must not be the first that this node meets under its id.
 */
export class Briefing {
  private readonly deps: BriefingDependencies
  private readonly told = new Map<NodeId, Told>()

  constructor(deps: BriefingDependencies) {
    this.deps = deps
  }

  /** `report` comes from a peer that has the incarnation it is known by. */
  onReport({ id: peer, effective }: NodeReport): void {
    const { incarnations, raft } = this.deps
    const named = new Map<NodeId, string>()
    for (const [id, { incarnation }] of effective.membership.nodes)
      if (incarnation !== undefined) named.set(id, incarnation)
    const own = raft.effectiveMembership
    if (own.logId === null) {
      this.told.delete(peer)
      this.told.set(peer, { incarnations: named, state: 'heard' })
      dropOldest(this.told, limits.membersMax * 2)
      return
    }
    this.told.clear()
    if (compareLogIds(effective.logId, own.logId) < 0) return
    for (const id of named.keys()) if (!own.membership.nodes.has(id) || incarnations.of(id) !== null) named.delete(id)
    incarnations.learn(named, () => undefined)
  }

  /** Whether entries or a state of `peer` may be taken: this node holds some already, or has written down what the peer reported. */
  isOver(peer: NodeId): boolean {
    if (this.deps.raft.effectiveMembership.logId !== null) return true
    const told = this.told.get(peer)
    if (told === undefined) return false
    if (told.state === 'heard') {
      told.state = 'being written'
      this.deps.incarnations.learn(told.incarnations, () => {
        told.state = 'written'
      })
    }
    return told.state === 'written'
  }
}
