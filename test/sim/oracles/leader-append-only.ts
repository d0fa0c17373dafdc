import { sameLeaderId } from '../../../src/raft/index.ts'
import type { Machine } from '../machines/machine.ts'
import { describeVote } from '../network/describe.ts'
import { Violation } from '../world/violation.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Oracle } from './oracle.ts'

/** A leader never removes or replaces entries of its own log (thesis 3.5), and writes only entries of its own ballot. */
export class LeaderAppendOnly implements Oracle {
  onStep(machine: Machine, { effects, before, view }: CoreStep): void {
    if (before?.state !== 'leader' || view.state !== 'leader') return
    if (!sameLeaderId(before.vote.leaderId, view.vote.leaderId)) return
    for (const write of effects.writes) {
      if (write.type === 'truncate' || write.type === 'reset') {
        throw new Violation(
          'leader-append-only',
          `n${machine.id} leads under ${describeVote(view.vote)} and has a ${write.type}`,
        )
      }
      if (write.type === 'append' && !sameLeaderId(write.batch.leaderId, view.vote.leaderId)) {
        throw new Violation('leader-append-only', `n${machine.id} leads and appends an entry of another`)
      }
    }
  }
}
