import type { IncomingHttpHeaders } from 'node:http'
import { limits } from '../limits.ts'

/** What answers tell about which server leads. Used only when requests are to go to the leader. */
export class LeaderHints {
  private leader: URL | null = null
  /** No server is asked for the leader before this time, because an address that one gave did not answer. */
  private askFrom = 0

  /** Where requests go first; null: not known. */
  get origin(): URL | null {
    return this.leader
  }

  /** Whether a server is to be asked for the leader. */
  isWanted(now: number): boolean {
    return this.leader === null && now >= this.askFrom
  }

  /** A node says in each answer who it is and who leads. */
  heard(from: URL, headers: IncomingHttpHeaders): void {
    const server = headers['quorate-served-by']
    if (server === undefined) return
    if (server === headers['quorate-leader']) this.leader = from
    else if (this.leader?.origin === from.origin) this.leader = null
  }

  /**
   * The leader's address in a redirect from `from`; null when it is none: a node names the leader, others redirect elsewhere. What went by https
   * never goes on by http.
   */
  redirected(from: URL, headers: IncomingHttpHeaders): URL | null {
    if (headers['quorate-leader'] === undefined) return null
    const { location = '' } = headers
    const target = URL.canParse(location) ? new URL(location) : null
    if (target === null || (target.protocol !== 'https:' && target.protocol !== from.protocol)) return null
    this.leader = new URL(target.origin)
    return this.leader
  }

  /** What a server gave as the leader's address does not serve. */
  misled(now: number): void {
    this.leader = null
    this.askFrom = now + limits.clientLeaderRestMs
  }

  /** The server at this address did not serve. */
  failed(at: URL, now: number): void {
    if (this.leader?.origin !== at.origin) return
    this.misled(now)
  }
}
