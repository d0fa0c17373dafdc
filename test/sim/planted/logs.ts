import type { LogContents, LogWrite } from '../../../src/ports/log-store.ts'
import type { Effects, LogId, RaftMessage } from '../../../src/raft/index.ts'
import { BEFORE_FIRST, indexOf, logIndex, sameLogId } from '../../../src/raft/index.ts'
import { clip } from '../disk/log-image.ts'
import { ObservedRaft } from '../machines/observed-raft.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'
import { LogDelegate } from './delegates.ts'

/** Reports a write as done as soon as it has started. */
class AcknowledgesBeforeSync extends LogDelegate {
  private last: Promise<void> = Promise.resolve()

  override write(writes: readonly LogWrite[]): Promise<void> {
    this.last = this.last.then(() => this.inner.write(writes))
    this.last.catch(() => undefined)
    return Promise.resolve()
  }
}

/** A failed write is treated as a successful one. */
class SwallowsErrors extends LogDelegate {
  override async write(writes: readonly LogWrite[]): Promise<void> {
    try {
      await this.inner.write(writes)
    } catch {
      return
    }
  }
}

/** A log that lost its tail is used as if it were complete. */
class ForgetsDamage extends LogDelegate {
  override async open(): Promise<LogContents> {
    return { ...(await this.inner.open()), lostUpTo: null }
  }
}

/** Removes everything after the entry before a request, whether it differs or not. */
class TruncatesMatches extends ObservedRaft {
  override receive(now: number, message: RaftMessage): void {
    if (message.type === 'append-request' && message.batches.length > 0) {
      const { state, leadership } = this.inspect()
      const from = logIndex(Math.max(indexOf(message.prev), state.committed) + 1)
      const holds = message.prev === null || sameLogId(state.log.logIdAt(message.prev.index), message.prev)
      if (
        leadership === null &&
        holds &&
        from <= state.log.lastIndex &&
        message.vote.leaderId.term >= state.vote.leaderId.term
      ) {
        state.truncate(from)
      }
    }
    super.receive(now, message)
  }
}

/** Entries are accepted whatever precedes them. */
class SkipsConsistencyCheck extends ObservedRaft {
  override receive(now: number, message: RaftMessage): void {
    if (message.type !== 'append-request' || message.prev === null) return super.receive(now, message)
    const { state } = this.inspect()
    const own: LogId | null = state.log.logIdAt(message.prev.index)
    super.receive(now, own === null ? message : { ...message, prev: own })
  }
}

/** Entries that differ from the leader's stay: only entries beyond the end of the log are added. */
class KeepsConflicts extends ObservedRaft {
  override receive(now: number, message: RaftMessage): void {
    const { state, leadership } = this.inspect()
    const { last, lastIndex } = state.log
    if (message.type !== 'append-request' || leadership !== null || lastIndex <= indexOf(message.prev)) {
      return super.receive(now, message)
    }
    const end = message.batches.at(-1)?.last ?? indexOf(message.prev)
    const batches = message.batches.flatMap((batch) =>
      batch.last <= lastIndex ? [] : [clip(batch, logIndex(lastIndex + 1), batch.last)],
    )
    super.receive(now, { ...message, prev: end <= lastIndex ? state.log.logIdAt(end) : last, batches })
  }
}

/** The log is purged up to the commit index, before the state that covers it is durable. */
class PurgesTooEarly extends ObservedRaft {
  protected override plant(effects: Effects): Effects {
    const { state } = this.inspect()
    const purged = state.log.logIdAt(state.applied)
    if (purged === null || state.applied - state.stateDurable < 3 || state.applied === BEFORE_FIRST) return effects
    state.stateDurable = state.applied
    state.purge(state.applied)
    return { ...effects, writes: [...effects.writes, { type: 'purge', purged }], lastSeq: state.outbox.seq }
  }
}

export const logBugs: readonly PlantedBug[] = [
  {
    name: 'sync-ignored',
    says: 'the log says "written" before it is',
    seedsMax: 10,
    wrapLog: (log) => new AcknowledgesBeforeSync(log),
  },
  {
    name: 'write-error-swallowed',
    says: 'the node goes on after a write of its log has failed',
    seedsMax: 200,
    wrapLog: (log) => new SwallowsErrors(log),
  },
  {
    name: 'lost-tail-ignored',
    says: 'a node that lost acknowledged entries votes at once',
    seedsMax: 2000,
    wrapLog: (log) => new ForgetsDamage(log),
  },
  {
    name: 'truncates-matching-entries',
    says: 'a late request removes entries that were acknowledged since',
    seedsMax: 300,
    raft: TruncatesMatches,
  },
  {
    name: 'consistency-check-skipped',
    says: 'entries are appended behind an entry that differs from the leader’s',
    seedsMax: 300,
    raft: SkipsConsistencyCheck,
  },
  {
    name: 'conflicting-entries-kept',
    says: 'entries that differ from the leader’s are not removed',
    seedsMax: 300,
    raft: KeepsConflicts,
  },
  {
    name: 'purged-before-durable',
    says: 'the log is purged before the state is durable',
    seedsMax: 100,
    raft: PurgesTooEarly,
  },
]
