import type { Node } from '../../../src/node/node.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import { sameLogId } from '../../../src/raft/index.ts'
import type { Machine } from '../machines/machine.ts'
import { Violation } from '../world/violation.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Oracle } from './oracle.ts'

/**
 * A node that lost its data has forgotten its promises. Its votes and acknowledgements must not count until it has been removed
 * and added again as a new node (docs/internals/raft.md, Membership). The simulator loses data only when every member has
 * recorded the node's incarnation. Who has recorded it knows it after a restart.
 */
export class WipedVoters implements Oracle {
  /** The incarnation that last took part in each cluster, by cluster and node. */
  private readonly parts = new Map<string, string>()
  /** Incarnations that some membership names. */
  private readonly admitted = new Set<string>()

  onStep(machine: Machine, { view, before }: CoreStep): void {
    if (before !== null && sameLogId(view.effective.logId, before.effective.logId)) return
    for (const [id, { incarnation }] of view.effective.membership.nodes) {
      if (incarnation !== undefined) this.admitted.add(`${machine.clusterId}/${id}/${incarnation}`)
    }
  }

  onOpen(machine: Machine, { replica: { peers, ownCluster, raft } }: Node): void {
    if (ownCluster.id === null) return
    for (const id of raft.effectiveMembership.membership.nodes.keys()) {
      const written = machine.remembers(id)
      if (id === machine.id || written === null || peers.incarnationOf(id) !== null) continue
      throw new Violation(
        'wiped-voter',
        `${machine.name} has written down that n${id} is ${written}, and does not know it after its start`,
      )
    }
  }

  onSend(machine: Machine, message: PeerMessage): void {
    if (!isPromise(message)) return
    const { clusterId, id, incarnation } = machine
    const name = `${clusterId}/${id}`
    const earlier = this.parts.get(name)
    if (earlier === incarnation) return
    this.parts.set(name, incarnation)
    if (earlier === undefined || this.admitted.has(`${name}/${incarnation}`)) return
    throw new Violation(
      'wiped-voter',
      `n${id} has lost its data (it was ${earlier}, now it is ${incarnation}) and makes promises again without having been added again`,
    )
  }
}

function isPromise(message: PeerMessage): boolean {
  if (message.type === 'vote-response') return message.granted
  return message.type === 'append-response' && message.outcome.kind === 'matched'
}
