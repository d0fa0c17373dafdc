import type { LogWrite } from '../../../src/ports/log-store.ts'
import type { LogId } from '../../../src/raft/index.ts'
import { indexOf } from '../../../src/raft/index.ts'
import type { Ledgers } from '../ledger.ts'
import type { Machine } from '../machine.ts'
import { describeLogId } from '../network/describe.ts'
import { Violation } from '../violation.ts'
import type { Oracle } from './oracle.ts'

/**
 * Log matching (thesis 3.5): two entries of one log id are the same entry, and so is everything before them. By induction it is
 * enough to look at each entry and the log id before it. Also: nobody removes what is committed.
 */
export class LogMatching implements Oracle {
  private readonly ledgers: Ledgers

  constructor(ledgers: Ledgers) {
    this.ledgers = ledgers
  }

  onSubmit(machine: Machine, write: LogWrite, last: LogId | null): void {
    const ledger = this.ledgers.of(machine.clusterId)
    if (write.type === 'append') return ledger.write(write.batch, last)
    if (write.type !== 'truncate') return
    const committed = ledger.lastCommitted
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
