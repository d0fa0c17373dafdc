import type { LogWrite } from '../../../src/ports/log-store.ts'
import type { LogIndex } from '../../../src/raft/index.ts'
import { BEFORE_FIRST, indexOf, logIndex, sameLogId } from '../../../src/raft/index.ts'
import type { Ledgers } from '../machines/ledger.ts'
import type { Machine } from '../machines/machine.ts'
import { Violation } from '../world/violation.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Oracle } from './oracle.ts'
import type { StoredMetas } from './stored-metas.ts'

/** The progress of one machine, over all its lives since it last lost its data. */
interface Reached {
  /** The index that the durable state covered, and how often the state had been deleted by then. */
  applied: LogIndex
  wipes: number
  /** The highest index that it knew to be committed. The node may forget it, but never contradict it. */
  committed: LogIndex
}

/**
 * Durable indexes never go back, not even over restarts: neither the durable state nor the log up to the commit index. The
 * log frees nothing that the durable state does not cover.
 */
export class DurableIndexes implements Oracle {
  private readonly ledgers: Ledgers
  private readonly metas: StoredMetas
  private readonly reached = new Map<Machine, Reached>()

  constructor(ledgers: Ledgers, metas: StoredMetas) {
    this.ledgers = ledgers
    this.metas = metas
  }

  onStart(machine: Machine): void {
    this.look(machine)
  }

  onState(machine: Machine): void {
    this.look(machine)
  }

  onStep(machine: Machine, { view }: CoreStep): void {
    const reached = this.of(machine)
    if (view.committed > reached.committed) reached.committed = view.committed
  }

  onSubmit(machine: Machine, write: LogWrite): void {
    const { committed } = this.of(machine)
    switch (write.type) {
      case 'truncate':
        // The entry that it held there may have been a different one. The node then learns of the truncation and of the commit at once.
        if (write.from <= committed && this.isCommitted(machine, write.from))
          fail(machine, `truncates from ${write.from}, and has committed ${committed}`)
        return
      case 'reset':
        this.expectCovered(machine, write.purged.index)
        if (write.purged.index < committed && sameLogId(machine.logIdSubmitted(write.purged.index), write.purged))
          fail(machine, `resets its log to ${write.purged.index}, which it holds, and has committed ${committed}`)
        return
      case 'purge':
        return this.expectCovered(machine, write.purged.index)
      default:
    }
  }

  onWipe(machine: Machine): void {
    this.reached.delete(machine)
  }

  private isCommitted(machine: Machine, index: LogIndex): boolean {
    return sameLogId(machine.logIdSubmitted(index), this.ledgers.of(machine.clusterId).committedAt(index))
  }

  /** Looks at what the durable state covers now. */
  private look(machine: Machine): void {
    const reached = this.of(machine)
    const applied = this.appliedOf(machine)
    const { wipes } = machine.state
    if (applied < reached.applied && wipes === reached.wipes)
      fail(machine, `has a state on disk that goes up to ${applied}, and had one up to ${reached.applied}`)
    reached.applied = applied
    reached.wipes = wipes
  }

  private expectCovered(machine: Machine, index: LogIndex): void {
    const applied = this.appliedOf(machine)
    if (applied < index) fail(machine, `drops its log up to ${index}, and its state on disk goes up to ${applied}`)
  }

  private appliedOf(machine: Machine): LogIndex {
    const { meta } = machine.state.durable
    return indexOf(meta === null ? null : (this.metas.of(meta)?.applied ?? null))
  }

  private of(machine: Machine): Reached {
    const known = this.reached.get(machine)
    if (known !== undefined) return known
    const fresh = { applied: logIndex(BEFORE_FIRST), wipes: machine.state.wipes, committed: logIndex(BEFORE_FIRST) }
    this.reached.set(machine, fresh)
    return fresh
  }
}

function fail(machine: Machine, what: string): never {
  throw new Violation('durable-indexes', `n${machine.id} ${what}`)
}
