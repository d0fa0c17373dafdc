import type { LogWrite } from '../../../src/ports/log-store.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import type { Vote } from '../../../src/raft/index.ts'
import { compareLeaderIds, compareVotes, indexOf } from '../../../src/raft/index.ts'
import type { Machine } from '../machines/machine.ts'
import { describeVote } from '../network/describe.ts'
import { Violation } from '../world/violation.ts'
import type { Oracle } from './oracle.ts'

/** No message leaves a node before the write that it claims is durable (thesis 3.8), and a vote never goes back. */
export class WriteAhead implements Oracle {
  private readonly votes = new Map<Machine, Vote>()

  onDurable(machine: Machine, write: LogWrite): void {
    if (write.type === 'hard-state') {
      const before = this.votes.get(machine)
      if (before !== undefined && compareVotes(write.state.vote, before) < 0) {
        fail(machine, `stores vote ${describeVote(write.state.vote)} after ${describeVote(before)}`)
      }
      this.votes.set(machine, write.state.vote)
      return
    }
    if (write.type !== 'append') return
    const { vote } = machine.log.durable.hardState
    if (compareLeaderIds(write.batch.leaderId, vote.leaderId) > 0) {
      fail(
        machine,
        `stores entries of ${write.batch.leaderId.term}.${write.batch.leaderId.nodeId} before a vote as high`,
      )
    }
  }

  onWipe(machine: Machine): void {
    this.votes.delete(machine)
  }

  onSend(machine: Machine, message: PeerMessage): void {
    switch (message.type) {
      case 'vote-request':
        return this.expectVote(machine, message.vote, 'asks for votes')
      case 'vote-response':
        if (message.granted) this.expectVote(machine, message.asked, 'grants a vote')
        return this.expectVote(machine, message.vote, 'shows its vote')
      case 'append-response': {
        this.expectVote(machine, message.vote, 'shows its vote')
        const { outcome } = message
        if (outcome.kind !== 'matched') return
        this.expectVote(machine, message.asked, 'acknowledges entries')
        // Under a later ballot the entries may have been replaced, by the same write that made them durable. The earlier leader
        // cannot commit them because of this message: a quorum without them has voted for the later leader.
        if (compareLeaderIds(message.asked.leaderId, machine.log.durable.hardState.vote.leaderId) < 0) return
        const last = indexOf(machine.log.durable.last)
        if (outcome.matched > last) fail(machine, `acknowledges ${outcome.matched}, but its disk ends at ${last}`)
        return
      }
      default:
    }
  }

  private expectVote(machine: Machine, vote: Vote, what: string): void {
    const durable = machine.log.durable.hardState.vote
    if (compareLeaderIds(durable.leaderId, vote.leaderId) >= 0) return
    fail(machine, `${what} with ${describeVote(vote)}, but has stored only ${describeVote(durable)}`)
  }
}

function fail(machine: Machine, what: string): never {
  throw new Violation('write-ahead', `n${machine.id} ${what}`)
}
