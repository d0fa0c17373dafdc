import { Repeats } from '../../lib/repeats.ts'
import { limits } from '../../limits.ts'
import type { Refusal } from '../../ports/transport.ts'
import type { NodeId } from '../../raft/index.ts'
import type { Logger } from '../options.ts'

/**
 * Logs which node refuses which where a peer is dialled. A peer is dialled again and again, so each reason is logged once, and then
 * counted.
 */
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
    // A node that was just added may call others before they have read of it. That resolves itself.
    const level = code === 'stranger' ? 'debug' : 'warn'
    this.logger[level]({ peer, code, detail, times }, by === 'peer' ? 'refused by peer' : 'peer refused')
  }

  /** Neither of the two refuses the other any more (`both`), or this node no longer refuses the peer (`us`). */
  over(peer: NodeId, by: 'us' | 'both'): void {
    this.repeats.forget(by === 'both' ? `${peer} ` : `${peer} us `)
  }
}
