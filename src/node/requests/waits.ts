import { limits } from '../../limits.ts'
import type { RequestError } from '../../lib/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogIndex } from '../../raft/index.ts'
import { Milestones } from './milestones.ts'
import { WaitingRoom } from './waiting-room.ts'

/** Reads that wait until the state of this node has advanced. They share their room with reads that wait for the leader. */
export class Waits {
  readonly room = new WaitingRoom(limits.pendingReadsMax)
  /** Reads that wait until the store has reached a revision. */
  readonly revisions: Milestones
  /** Reads that wait until an entry is applied. */
  readonly applications: Milestones

  constructor(clock: Clock, applier: { readonly revision: number; readonly appliedIndex: LogIndex }) {
    this.revisions = new Milestones(clock, this.room, () => applier.revision)
    this.applications = new Milestones(clock, this.room, () => applier.appliedIndex)
  }

  onApplied(): void {
    this.revisions.onGrown()
    this.applications.onGrown()
  }

  /** Answers all waiting reads with `error`, and from now on every read that would have to wait. */
  close(error: RequestError): void {
    this.revisions.close(error)
    this.applications.close(error)
  }
}
