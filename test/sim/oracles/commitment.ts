import { indexOf, logIndex, sameLeaderId, sameLogId } from '../../../src/raft/index.ts'
import type { LogId, LogIndex } from '../../../src/raft/index.ts'
import type { Ledger, Ledgers } from '../machines/ledger.ts'
import type { Machine } from '../machines/machine.ts'
import { describeLogId, describeVote } from '../network/describe.ts'
import { isQuorum } from '../machines/quorum.ts'
import { Violation } from '../world/violation.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Oracle } from './oracle.ts'

/**
 * Committed entries stay (thesis 3.6.2). The first node to commit an entry is a leader that counted an entry of its own ballot
 * on a quorum of disks in every configuration. Every other node that commits at that index commits the same entry. Commit
 * indexes never go back.
 */
export class Commitment implements Oracle {
  private readonly ledgers: Ledgers
  private readonly machineOf: (id: number) => Machine | null

  constructor(ledgers: Ledgers, machineOf: (id: number) => Machine | null) {
    this.ledgers = ledgers
    this.machineOf = machineOf
  }

  onStep(machine: Machine, step: CoreStep): void {
    const { effects, before, view } = step
    if (before !== null) {
      if (view.committed < before.committed)
        fail(machine, `commit index falls from ${before.committed} to ${view.committed}`)
      if (view.applied < before.applied) fail(machine, `applied index falls from ${before.applied} to ${view.applied}`)
    }
    if (view.applied > view.committed) fail(machine, `applied ${view.applied} is beyond commit ${view.committed}`)
    if (before !== null && before.committed === effects.committed) return
    const ledger = this.ledgers.of(machine.clusterId)
    const from = before === null ? view.applied : before.committed
    this.checkAgreement(machine, step, ledger, from)
    if (effects.committed >= ledger.committed.length) this.extend(machine, step, ledger)
  }

  /** Compares with the entries that other nodes have already committed. */
  private checkAgreement(machine: Machine, { raft, effects }: CoreStep, ledger: Ledger, from: LogIndex): void {
    const to = Math.min(effects.committed, ledger.committed.length - 1)
    for (let index = Math.max(0, from + 1); index <= to; index++) {
      const canonical = ledger.committedAt(logIndex(index))
      const own = raft.leaderIdAt(logIndex(index))
      // Entries covered by a snapshot can be compared only by the digest of the state.
      if (own === null || canonical === null || sameLeaderId(own, canonical.leaderId)) continue
      fail(
        machine,
        `commits ${describeLogId({ leaderId: own, index: logIndex(index) })} where ${describeLogId(canonical)} is committed`,
      )
    }
  }

  private extend(machine: Machine, { raft, effects, view }: CoreStep, ledger: Ledger): void {
    if (view.state !== 'leader') {
      fail(
        machine,
        `commits ${effects.committed} as ${view.state}, but no leader has committed beyond ${ledger.committed.length - 1}`,
      )
    }
    const own = raft.leaderIdAt(effects.committed)
    if (own === null || !sameLeaderId(own, view.vote.leaderId)) {
      fail(
        machine,
        `leads under ${describeVote(view.vote)} and commits by counting ${effects.committed}, an entry of an earlier ballot`,
      )
    }
    for (const config of view.effective.membership.configs) {
      const holders = config.filter((id) => this.holds(id, { leaderId: own, index: effects.committed }))
      if (isQuorum(config, (id) => holders.includes(id))) continue
      fail(machine, `commits ${effects.committed} in [${config.join()}], but only [${holders.join()}] have it on disk`)
    }
    for (let index = ledger.committed.length; index <= effects.committed; index++) {
      const leaderId = raft.leaderIdAt(logIndex(index))
      if (leaderId === null) fail(machine, `commits ${index} without having it`)
      ledger.commit({ leaderId, index: logIndex(index) }, view.vote.leaderId)
    }
  }

  private holds(id: number, wanted: LogId): boolean {
    const machine = this.machineOf(id)
    if (machine === null) return false
    const { durable, lostUpTo } = machine.log
    if (lostUpTo !== null && lostUpTo >= wanted.index) return true
    return [durable, ...machine.formerLogs].some(
      (image) => indexOf(image.purged) >= wanted.index || sameLogId(image.logIdAt(wanted.index), wanted),
    )
  }
}

function fail(machine: Machine, what: string): never {
  throw new Violation('commit', `n${machine.id} ${what}`)
}
