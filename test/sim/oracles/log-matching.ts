import type { LogWrite } from '../../../src/ports/log-store.ts'
import type { LeaderId, LogId } from '../../../src/raft/index.ts'
import { indexOf } from '../../../src/raft/index.ts'
import type { Ledgers } from '../machines/ledger.ts'
import type { Machine } from '../machines/machine.ts'
import { describeLogId } from '../network/describe.ts'
import { Violation } from '../world/violation.ts'
import type { Oracle } from './oracle.ts'

/**
 * Log matching (thesis 3.5): two entries with the same log id are the same entry, and so is everything before them. By
 * induction it is enough to check each entry and the log id before it.
 *
 * In addition, a node never removes what was committed under the ballot that it follows, or under an earlier one (leader
 * completeness). A node that still follows an earlier ballot, because it slept, may have to: its leader was elected without the
 * entry, and the commit did not count this node's log.
 */
export class LogMatching implements Oracle {
  private readonly ledgers: Ledgers
  /** The ballot that each machine last wrote in this life of its process. */
  private readonly followed = new Map<Machine, LeaderId>()

  constructor(ledgers: Ledgers) {
    this.ledgers = ledgers
  }

  onStart(machine: Machine): void {
    this.followed.delete(machine)
  }

  onSubmit(machine: Machine, write: LogWrite, last: LogId | null): void {
    const ledger = this.ledgers.of(machine.clusterId)
    if (write.type === 'append') return ledger.write(write.batch, last)
    if (write.type === 'hard-state') this.followed.set(machine, write.state.vote.leaderId)
    if (write.type !== 'truncate') return
    const committed = ledger.committedUpTo(this.followed.get(machine) ?? machine.log.durable.hardState.vote.leaderId)
    if (committed === null || write.from > committed.index) return
    for (let index = write.from; index <= Math.min(indexOf(last), committed.index); index++) {
      const canonical = ledger.committedAt(index)
      const own = machine.logIdSubmitted(index)
      if (
        canonical !== null &&
        own !== null &&
        canonical.leaderId.term === own.leaderId.term &&
        canonical.leaderId.nodeId === own.leaderId.nodeId
      ) {
        throw new Violation(
          'leader-completeness',
          `n${machine.id} removes ${describeLogId(canonical)}, which is committed`,
        )
      }
    }
  }
}
