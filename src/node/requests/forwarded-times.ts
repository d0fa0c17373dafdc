import { dropOldest } from '../../lib/drop-oldest.ts'
import type { Random } from '../../lib/random.ts'
import type { SlowLog } from '../../lib/slow-log.ts'
import { StageSums } from '../../lib/stages.ts'
import { newSpanId, spanBelow, traceFacts } from '../../lib/trace-context.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { ForwardRequest } from '../../ports/transport.ts'
import type { LogIndex } from '../../raft/index.ts'
import { logEnds, type EntryTimes } from './write-times.ts'

export interface ForwardedTimesDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly entries: EntryTimes
  readonly slow: Pick<SlowLog, 'thresholdMs' | 'tell'>
}

interface Open extends Pick<ForwardRequest, 'from' | 'count' | 'spans'> {
  readonly first: LogIndex
  readonly receivedAt: number
}

/**
 * Times the requests of others that this node carries out as their leader, and has a line in the log about those that take long. The node that
 * took such a request has a line of its own, with the same index and the same trace.
 */
export class ForwardedTimes {
  private readonly deps: ForwardedTimesDependencies
  /** By their last entry, in the order of the log. */
  private readonly open = new Map<LogIndex, Open>()

  constructor(deps: ForwardedTimesDependencies) {
    this.deps = deps
  }

  onAccepted({ from, count, spans }: ForwardRequest, first: LogIndex, last: LogIndex): void {
    this.open.set(last, { from, count, first, receivedAt: this.deps.clock.now(), ...(spans && { spans }) })
    dropOldest(this.open, limits.slowForwardedMax)
  }

  /** Entries that were appended before may be gone from the log. */
  onLeading(): void {
    this.open.clear()
  }

  onApplied(applied: LogIndex): void {
    for (const [last, batch] of this.open) {
      if (last > applied) return
      this.open.delete(last)
      this.judge(batch, last)
    }
  }

  private judge({ from, count, first, spans = [], receivedAt }: Open, last: LogIndex): void {
    const { clock, random, entries, slow } = this.deps
    const sums = new StageSums(receivedAt)
    sums.add(logEnds(entries, last), clock.now())
    if (sums.countedMs < slow.thresholdMs) return
    for (const { at, ...sender } of spans) {
      const span = spanBelow(sender, newSpanId(random))
      slow.tell('slow forwarded write', { from, index: first + at, ...traceFacts(span) }, sums)
    }
    const others = count - spans.length
    if (others > 0) slow.tell('slow forwarded writes', { from, requests: others, index: last }, sums)
  }
}
