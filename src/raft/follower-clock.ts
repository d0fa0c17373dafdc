import type { Moment } from './message.ts'

/** A moment that a follower named, and when its answer arrived by the leader's clock. */
interface Reading {
  readonly moment: Moment
  readonly at: number
}

/**
 * What a leader knows about a follower's clock: which of the moments that it named had passed when the leader was last certain to lead.
 *
 * A moment that a follower names has passed when its answer arrives. If a quorum then acknowledges something that was sent after that
 * arrival, no other leader can have committed anything before that moment (thesis 6.4). No two clocks are compared.
 */
export class FollowerClock {
  private known: Moment | null = null
  /** Unconfirmed readings: the one that has waited longest, and the latest. Any reading in between would be confirmed between those two. */
  private first: Reading | null = null
  private last: Reading | null = null

  /** An answer that was given at `moment` arrived when the leader's clock showed `at`. */
  read(moment: Moment, at: number): void {
    if (this.first === null) this.first = { moment, at }
    else this.last = { moment, at }
  }

  /** The latest known moment that had passed at `time` by the leader's clock. `time` never goes back. */
  before(time: number): Moment | null {
    while (this.first !== null && this.first.at <= time) {
      this.known = this.first.moment
      this.first = this.last
      this.last = null
    }
    return this.known
  }
}
