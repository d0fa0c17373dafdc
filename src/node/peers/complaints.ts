import { limits } from '../../limits.ts'
import type { NodeId } from '../../raft/index.ts'
import type { Logger } from '../options.ts'
import type { Warning } from './warnings.ts'

/** A reason for which messages are refused or ignored, and how an operator is told of it. */
export interface Grievance {
  readonly code: Warning['code']
  /** The event in the log. */
  readonly event: string
  /** `count`: messages so far; `peer` and `detail`: of the last one. */
  says(count: number, peer: NodeId, detail: string): string
}

/** A process that is not a member reaches the peer port, or a member is broken. */
export const unsoundPeer: Grievance = {
  code: 'unsound-peer',
  event: 'unsound peer',
  says: (count, peer, detail) =>
    `${count} messages that no sound member sends were refused; the last one came under the id ${peer} (${detail}): ` +
    'make sure that only members reach the peer port, then look at the log of that node',
}

/** Nothing says that they are damaged, but only a newer build knows what is in them. */
export const newerBuild: Grievance = {
  code: 'build-too-old',
  event: 'peer of a newer build',
  says: (count, peer, detail) =>
    `this build is too old for what node ${peer} sends, and takes none of it, ${count === 1 ? 'once' : `${count} times`} so far (${detail})`,
}

/**
 * Reports messages that were refused, or ignored, for one reason. They did nothing, but an operator should know. Logged now and then with a
 * count, however many there are and whatever they say.
 */
export class Complaints {
  private readonly grievance: Grievance
  private readonly now: () => number
  private readonly logger: Logger
  private count = 0
  private unlogged = 0
  private last: { readonly peer: NodeId; readonly detail: string; readonly at: number } | null = null
  private loggedAt = -Infinity

  /** `now`: monotonic milliseconds. */
  constructor(grievance: Grievance, now: () => number, logger: Logger) {
    this.grievance = grievance
    this.now = now
    this.logger = logger
  }

  add(peer: NodeId, detail: string): void {
    const at = this.now()
    this.count += 1
    this.unlogged += 1
    this.last = { peer, detail, at }
    if (at - this.loggedAt < limits.complaintLogIntervalMs) return
    this.logger.warn({ peer, detail, times: this.unlogged }, this.grievance.event)
    this.loggedAt = at
    this.unlogged = 0
  }

  /** The warning about such messages, alone in a list; empty once there has been none for a while. */
  get warnings(): readonly Warning[] {
    if (this.last === null || this.now() - this.last.at > limits.complaintMsMax) return []
    const { peer, detail } = this.last
    return [{ code: this.grievance.code, detail: this.grievance.says(this.count, peer, detail) }]
  }
}
