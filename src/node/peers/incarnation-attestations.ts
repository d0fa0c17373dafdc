import type { Clock } from '../../ports/clock.ts'
import type { NodeReport, PeerMessage, Transport } from '../../ports/transport.ts'
import type { LogId, NodeId } from '../../raft/index.ts'
import { compareLogIds } from '../../raft/index.ts'
import type { Faults } from '../options.ts'
import type { MembershipSource } from './peers-options.ts'

export interface IncarnationAttestationsDependencies {
  readonly transport: Transport
  readonly clock: Clock
  /** The members that may be asked, by id. */
  readonly addresses: () => ReadonlyMap<NodeId, string>
  readonly raft: MembershipSource
  /** Whether the member that answers has the incarnation that it is known by. */
  readonly isTrusted: (report: NodeReport) => boolean
  readonly faults: Faults
}

const ASK_EVERY_MS = 1_000
const ASK_TIMEOUT_MS = 1_000

/**
 * What other members say about the present incarnation of a member.
 *
 * Suppose that a node was away while a member lost its data and was added again. Then the node knows only the member's old incarnation. If
 * that member now leads, no other node will ever send the entry with the new incarnation. The word of another member is enough to follow
 * the new incarnation, to vote for it and to answer it, because the new incarnation is a member wherever that counts. Its promises, votes
 * and acknowledgements, do not count here until this node's own log names it: in the membership that this node knows, it is a voter that
 * has forgotten what it promised.
 */
export class IncarnationAttestations {
  private readonly deps: IncarnationAttestationsDependencies
  private readonly words = new Map<NodeId, { readonly incarnation: string; readonly at: LogId | null }>()
  private askedAt = -Infinity
  private asked: NodeId | null = null

  constructor(deps: IncarnationAttestationsDependencies) {
    this.deps = deps
  }

  /** `report` comes from a member that has the incarnation it is known by. */
  onReport({ effective: { logId: at, membership } }: NodeReport): void {
    for (const [id, { incarnation }] of membership.nodes) {
      const before = this.words.get(id)
      if (incarnation === undefined || (before !== undefined && compareLogIds(before.at, at) > 0)) continue
      this.words.set(id, { incarnation, at })
    }
    // Limited to the members of the latest membership that was heard of.
    for (const [id, word] of this.words) {
      if (!membership.nodes.has(id) && compareLogIds(word.at, at) <= 0) this.words.delete(id)
    }
  }

  /** Whether members that know a later membership than this node does say that `id` has this incarnation now. */
  vouchFor(id: NodeId, incarnation: string): boolean {
    const word = this.words.get(id)
    return word?.incarnation === incarnation && compareLogIds(word.at, this.deps.raft.effectiveMembership.logId) > 0
  }

  /** Asks one of the other members, in turn and not too often, whether `id` has another incarnation now. */
  ask(id: NodeId): void {
    const now = this.deps.clock.now()
    if (now < this.askedAt + ASK_EVERY_MS) return
    const others = [...this.deps.addresses()].filter(([other]) => other !== id)
    const last = others.findIndex(([other]) => other === this.asked)
    const next = others[(last + 1) % others.length]
    if (next === undefined) return
    this.askedAt = now
    this.asked = next[0]
    this.deps.transport
      .probe(next[1], ASK_TIMEOUT_MS)
      .then((outcome) => {
        if (outcome.kind === 'answered' && this.deps.isTrusted(outcome.report)) this.onReport(outcome.report)
      })
      .catch((error: unknown) => this.deps.faults.report(error))
  }
}

/** Messages that must not count when they come from a node that is only vouched for. */
export function isPromise(type: PeerMessage['type']): boolean {
  return type === 'pre-vote-response' || type === 'vote-response' || type === 'append-response'
}
