import type { Moment } from './message.ts'

/** A moment that a follower named, and when its answer came, on the leader's clock. */
interface Reading {
  readonly moment: Moment
  readonly at: number
}

/**
 * What a leader knows of a follower's clock: which of its moments were over when the leader was last certain to lead.
 *
 * A moment that a follower names has passed when its answer arrives. If a quorum acknowledges something that was sent later, no other
 * leader can have committed anything before it (thesis 6.4). No two clocks are compared.
 */
export class FollowerClock {
  private known: Moment | null = null
  /** Readings not confirmed yet: the one that waits longest, and the last one. Any number between would be confirmed between the two. */
  private first: Reading | null = null
  private last: Reading | null = null

  /** An answer that was given at `moment` has come `at` this time of the leader. */
  read(moment: Moment, at: number): void {
    if (this.first === null) this.first = { moment, at }
    else this.last = { moment, at }
  }

  /** The latest known moment that was over at `time` of the leader, which never goes back. */
  before(time: number): Moment | null {
    while (this.first !== null && this.first.at <= time) {
      this.known = this.first.moment
      this.first = this.last
      this.last = null
    }
    return this.known
  }
}
