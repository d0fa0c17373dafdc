import type { HardState, LogContents, LogWrite } from '../../../src/ports/log-store.ts'
import type { Effects, RaftMessage } from '../../../src/raft/index.ts'
import { VOTE_ZERO } from '../../../src/raft/index.ts'
import { ObservedRaft } from '../machines/observed-raft.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'
import { LogDelegate } from './delegates.ts'

/** Keeps the cluster id but forgets the vote. */
class ForgetsVotes extends LogDelegate {
  override write(writes: readonly LogWrite[]): Promise<void> {
    return this.inner.write(
      writes.map((write) =>
        write.type === 'hard-state' ? { type: 'hard-state', state: { ...write.state, vote: VOTE_ZERO } } : write,
      ),
    )
  }
}

/** Votes are written, but after everything else of the same write. */
class WritesVotesLast extends LogDelegate {
  override write(writes: readonly LogWrite[]): Promise<void> {
    const votes = writes.filter((write) => write.type === 'hard-state')
    return this.inner.write([...writes.filter((write) => write.type !== 'hard-state'), ...votes])
  }
}

/** After a restart the vote is one term lower than before. */
class LowersVotes extends LogDelegate {
  override async open(): Promise<LogContents> {
    const contents = await this.inner.open()
    const { vote } = contents.hardState
    const last = contents.last?.leaderId ?? VOTE_ZERO.leaderId
    const hardState: HardState = { ...contents.hardState, vote: { leaderId: last, committed: false } }
    return vote.leaderId.term > last.term ? { ...contents, hardState } : contents
  }
}

class GrantsShortLogs extends ObservedRaft {
  override receive(now: number, message: RaftMessage): void {
    const isRequest = message.type === 'vote-request' || message.type === 'pre-vote-request'
    super.receive(now, isRequest ? { ...message, last: this.view().last } : message)
  }
}

class GrantsEverything extends ObservedRaft {
  protected override plant(effects: Effects): Effects {
    const held = effects.held.map((one) =>
      one.message.type === 'vote-response' ? { ...one, message: { ...one.message, granted: true } } : one,
    )
    const sends = effects.sends.map((one) => (one.type === 'vote-response' ? { ...one, granted: true } : one))
    return { ...effects, held, sends }
  }
}

/** Votes and acknowledgements leave before the write that they claim is durable. */
class SendsBeforeSync extends ObservedRaft {
  protected override plant(effects: Effects): Effects {
    return { ...effects, held: [], sends: [...effects.sends, ...effects.held.map(({ message }) => message)] }
  }
}

class CountsRefusalsAsGrants extends ObservedRaft {
  override receive(now: number, message: RaftMessage): void {
    const isLost = message.type === 'vote-response' && !message.granted
    super.receive(now, isLost ? { ...message, granted: true, vote: message.asked } : message)
  }
}

export const voteBugs: readonly PlantedBug[] = [
  {
    name: 'vote-not-persisted',
    says: 'votes are never written',
    seedsMax: 10,
    wrapLog: (log) => new ForgetsVotes(log),
  },
  {
    name: 'vote-after-entries',
    says: 'a vote is written behind the entries of its ballot',
    seedsMax: 100,
    wrapLog: (log) => new WritesVotesLast(log),
  },
  {
    name: 'vote-lowered-at-restart',
    says: 'a restart forgets votes that no entry followed',
    seedsMax: 100,
    wrapLog: (log) => new LowersVotes(log),
  },
  {
    name: 'vote-for-short-log',
    says: 'votes are given without comparing the logs',
    seedsMax: 100,
    raft: GrantsShortLogs,
  },
  { name: 'vote-always', says: 'every request for a vote is granted', seedsMax: 50, raft: GrantsEverything },
  { name: 'reply-before-sync', says: 'replies leave before the write they claim', seedsMax: 10, raft: SendsBeforeSync },
  {
    name: 'refusal-counted-as-grant',
    says: 'a candidate counts every answer as a vote',
    seedsMax: 50,
    raft: CountsRefusalsAsGrants,
  },
]
