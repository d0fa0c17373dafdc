import { limits } from '../../limits.ts'
import type { NodeId } from '../../raft/index.ts'
import type { Logger } from '../options.ts'
import type { Warning } from './warnings.ts'

/**
 * Reports messages that no sound member sends. Such a message was refused and did nothing, but an operator should know: a process that is
 * not a member reaches the peer port, or a member is broken. Logged now and then with a count, however many there are.
 */
export class Complaints {
  private readonly now: () => number
  private readonly logger: Logger
  private count = 0
  private unlogged = 0
  private last: { readonly peer: NodeId; readonly detail: string; readonly at: number } | null = null
  private loggedAt = -Infinity

  constructor(now: () => number, logger: Logger) {
    this.now = now
    this.logger = logger
  }

  add(peer: NodeId, detail: string): void {
    const at = this.now()
    this.count += 1
    this.unlogged += 1
    this.last = { peer, detail, at }
    if (at - this.loggedAt < limits.complaintLogIntervalMs) return
    this.logger.warn({ peer, detail, times: this.unlogged }, 'unsound peer')
    this.loggedAt = at
    this.unlogged = 0
  }

  /** The warning about such messages; null once there has been none for a while. */
  get warning(): Warning | null {
    if (this.last === null || this.now() - this.last.at > limits.complaintMsMax) return null
    const { peer, detail } = this.last
    return {
      code: 'unsound-peer',
      detail:
        `${this.count} messages that no sound member sends were refused; the last one came under the id ${peer} (${detail}): ` +
        'make sure that only members reach the peer port, then look at the log of that node',
    }
  }
}
