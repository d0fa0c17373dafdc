import type { LogWrite } from '../../../src/ports/log-store.ts'
import type { NodeId, Vote } from '../../../src/raft/index.ts'
import { indexOf, sameLeaderId } from '../../../src/raft/index.ts'
import type { Ledgers } from '../machines/ledger.ts'
import type { Machine } from '../machines/machine.ts'
import { describeLogId, describeVote } from '../network/describe.ts'
import { isQuorum } from '../machines/quorum.ts'
import { Violation } from '../world/violation.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Oracle } from './oracle.ts'

/**
 * Election safety and leader completeness (thesis 3.6): each ballot has one leader, granted by a quorum on disk, which has
 * every committed entry.
 */
export class Elections implements Oracle {
  leaders = 0
  private readonly ledgers: Ledgers
  /** The nodes whose disks hold a vote for each ballot of each cluster. */
  private readonly grants = new Map<string, Set<NodeId>>()
  /** The process, in one of its lives, that led under each ballot. */
  private readonly led = new Map<string, string>()

  constructor(ledgers: Ledgers) {
    this.ledgers = ledgers
  }

  onDurable(machine: Machine, write: LogWrite): void {
    if (write.type !== 'hard-state') return
    const name = ballotOf(machine, write.state.vote)
    const grants = this.grants.get(name)
    if (grants === undefined) this.grants.set(name, new Set([machine.id]))
    else grants.add(machine.id)
  }

  onStep(machine: Machine, { view, before, raft }: CoreStep): void {
    if (
      view.state !== 'leader' ||
      (before?.state === 'leader' && sameLeaderId(before.vote.leaderId, view.vote.leaderId))
    )
      return
    const name = ballotOf(machine, view.vote)
    if (view.vote.leaderId.nodeId !== machine.id)
      fail(machine, `leads under ${describeVote(view.vote)}, a ballot of another node`)
    const earlier = this.led.get(name)
    if (earlier !== undefined)
      fail(machine, `leads twice under ${describeVote(view.vote)}: as ${earlier} and as ${machine.lifeName}`)
    this.led.set(name, machine.lifeName)
    this.leaders += 1
    const grants = this.grants.get(name) ?? new Set()
    for (const config of view.effective.membership.configs) {
      if (isQuorum(config, (id) => grants.has(id))) continue
      fail(
        machine,
        `leads under ${describeVote(view.vote)} without a quorum of [${config.join()}]: only [${[...grants].join()}] have stored it`,
      )
    }
    // Votes may arrive so late that a later leader has committed more entries by now. This leader will learn of that one.
    const committed = this.ledgers.of(machine.clusterId).committedBefore(view.vote.leaderId)
    if (committed === null || indexOf(view.purged) > committed.index) return
    const own = raft.leaderIdAt(committed.index)
    if (own === null || !sameLeaderId(own, committed.leaderId)) {
      throw new Violation(
        'leader-completeness',
        `n${machine.id} leads under ${describeVote(view.vote)} without ${describeLogId(committed)}, which is committed (its log ends with ${describeLogId(view.last)})`,
      )
    }
  }
}

function ballotOf(machine: Machine, vote: Vote): string {
  return `${machine.clusterId}/${vote.leaderId.term}.${vote.leaderId.nodeId}`
}

function fail(machine: Machine, what: string): never {
  throw new Violation('election-safety', `n${machine.id} ${what}`)
}
