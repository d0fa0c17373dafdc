import type { PeerMessage } from '../../../src/ports/transport.ts'
import { sameLogId } from '../../../src/raft/index.ts'
import type { Machine } from '../machines/machine.ts'
import { Violation } from '../world/violation.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Oracle } from './oracle.ts'

/**
 * A node that lost its data has forgotten what it promised: nobody may get a vote or an acknowledgement of it until it has been
 * removed and added again as the node that it is now (raft.md 4). Data is lost here only where every member has written down who
 * it was.
 */
export class WipedVoters implements Oracle {
  /** The incarnation that took part in a cluster last, by cluster and node. */
  private readonly parts = new Map<string, string>()
  /** Nodes that some membership names by their incarnation. */
  private readonly admitted = new Set<string>()

  onStep(machine: Machine, { view, before }: CoreStep): void {
    if (before !== null && sameLogId(view.effective.logId, before.effective.logId)) return
    for (const [id, { incarnation }] of view.effective.membership.nodes) {
      if (incarnation !== undefined) this.admitted.add(`${machine.clusterId}/${id}/${incarnation}`)
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
