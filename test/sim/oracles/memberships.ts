import { indexOf, sameLogId } from '../../../src/raft/index.ts'
import type { Membership } from '../../../src/raft/index.ts'
import type { Ledgers } from '../machines/ledger.ts'
import type { Machine } from '../machines/machine.ts'
import { quorumsIntersect } from '../machines/quorum.ts'
import { Violation } from '../world/violation.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Oracle } from './oracle.ts'

/** At most one membership is uncommitted at a time, and each one overlaps the one before (thesis 4.3). */
export class Memberships implements Oracle {
  private readonly ledgers: Ledgers

  constructor(ledgers: Ledgers) {
    this.ledgers = ledgers
  }

  onStep(machine: Machine, { view, before }: CoreStep): void {
    if (before?.state !== 'leader' || view.state !== 'leader') return
    const { effective } = view
    if (sameLogId(effective.logId, before.effective.logId)) return
    const committed = this.ledgers.of(machine.clusterId).lastCommitted
    if (indexOf(before.effective.logId) > indexOf(committed)) {
      throw new Violation(
        'membership',
        `n${machine.id} proposes the membership at ${indexOf(effective.logId)} while the one at ${indexOf(before.effective.logId)} is not committed`,
      )
    }
    if (!everyQuorumIntersects(before.effective.membership, effective.membership)) {
      throw new Violation(
        'membership',
        `n${machine.id} goes from ${show(before.effective.membership)} to ${show(effective.membership)}: quorums that do not overlap`,
      )
    }
  }
}

/** Whether the quorums of two memberships always intersect. A quorum of a membership has a majority of each of its configurations. */
function everyQuorumIntersects(a: Membership, b: Membership): boolean {
  return a.configs.some((one) => b.configs.some((other) => quorumsIntersect(one, other)))
}

function show(membership: Membership): string {
  return membership.configs.map((config) => `[${config.join()}]`).join('+')
}
