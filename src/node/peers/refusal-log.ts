import { Repeats } from '../../lib/repeats.ts'
import { limits } from '../../limits.ts'
import type { Refusal } from '../../ports/transport.ts'
import type { NodeId } from '../../raft/index.ts'
import type { Logger } from '../options.ts'

/** Who refuses whom where a peer is dialled. It is dialled again and again: a reason is told once, and then counted. */
export class RefusalLog {
  private readonly repeats: Repeats
  private readonly logger: Logger

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number, logger: Logger) {
    const { refusalLogIntervalMs: intervalMs, refusalsKnownMax: causesMax } = limits
    this.repeats = new Repeats({ intervalMs, causesMax }, now)
    this.logger = logger
  }

  add(peer: NodeId, { code, detail }: Refusal, by: 'peer' | 'us'): void {
    const times = this.repeats.add(`${peer} ${by} ${code}`)
    if (times === null) return
    // A node that was added just now may call before those whom it calls have read of it: that mends itself.
    const level = code === 'stranger' ? 'debug' : 'warn'
    this.logger[level]({ peer, code, detail, times }, by === 'peer' ? 'refused by peer' : 'peer refused')
  }

  /** Nobody is refused between the two any more, or not by this node. */
  over(peer: NodeId, by: 'us' | 'both'): void {
    this.repeats.forget(by === 'both' ? `${peer} ` : `${peer} us `)
  }
}
