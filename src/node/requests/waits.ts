import { limits } from '../../limits.ts'
import type { RequestError } from '../../lib/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogIndex } from '../../raft/index.ts'
import { Milestones } from './milestones.ts'
import { WaitingRoom } from './waiting-room.ts'

/** Reads that wait until the state of this node has come further; those that wait for the leader share their room. */
export class Waits {
  readonly room = new WaitingRoom(limits.pendingReadsMax)
  /** Until the store has reached a revision. */
  readonly revisions: Milestones
  /** Until an entry is applied. */
  readonly applications: Milestones

  constructor(clock: Clock, state: { readonly revision: () => number; readonly applied: () => LogIndex }) {
    this.revisions = new Milestones(clock, this.room, state.revision)
    this.applications = new Milestones(clock, this.room, state.applied)
  }

  onApplied(): void {
    this.revisions.onGrown()
    this.applications.onGrown()
  }

  /** Answers them with `error`, and all that would have to wait from now on. */
  close(error: RequestError): void {
    this.revisions.close(error)
    this.applications.close(error)
  }
}
