import type { NodeAddresses, NodeId } from '../../raft/index.ts'
import { dropOldest } from '../../lib/drop-oldest.ts'

export interface DialAddressesDependencies {
  readonly now: () => number
  readonly isConnected: (id: NodeId) => boolean
  /** How long an address that does not lead to its member is tried before the other address is tried again. */
  readonly patienceMs: number
  /** For how many nodes the address that they announced is remembered. */
  readonly saidMax: number
}

interface Route {
  /** The address in the membership. */
  listed: string
  /** The address that the member itself announced when it last called. */
  announced: string | null
  /** The address that is dialled: `listed`, `announced`, or the one that was listed before, for as long as that works. */
  dialled: string
  since: number
  /** The other address has not been tried since this one was known to work, or since it was listed. */
  fresh: boolean
}

/**
 * Where each member is dialled. The membership lists an address; a member that has moved announces its new one in its hello, before or
 * after the membership changes. On every connection the node at the other end is asked for its cluster, id and incarnation, so an address
 * is never more than a place to look.
 */
export class DialAddresses {
  private readonly deps: DialAddressesDependencies
  private readonly routes = new Map<NodeId, Route>()
  /**
   * The addresses that nodes announced, members or not: a node that reads an old log sees members leave and come back at addresses where
   * they no longer are.
   */
  private readonly said = new Map<NodeId, string>()

  constructor(deps: DialAddressesDependencies) {
    this.deps = deps
  }

  /**
   * The membership changed. Returns connected members that are listed under another address now. `prove` switches to the new address once a
   * probe was answered there, so that a working connection is never given up for an address where there is no node yet.
   */
  update(members: ReadonlyMap<NodeId, NodeAddresses>): NodeId[] {
    const unproven: NodeId[] = []
    for (const id of this.routes.keys()) if (!members.has(id)) this.routes.delete(id)
    for (const [id, { raft }] of members) {
      const route = this.routes.get(id)
      const since = this.deps.now()
      if (route === undefined) {
        const announced = this.said.get(id) ?? null
        this.routes.set(id, { listed: raft, announced, dialled: raft, since, fresh: true })
      } else if (route.listed !== raft) {
        const works = this.deps.isConnected(id) && route.dialled !== raft
        this.routes.set(id, { ...route, listed: raft, dialled: works ? route.dialled : raft, since, fresh: true })
        if (works) unproven.push(id)
      }
    }
    return unproven
  }

  addressOf(id: NodeId): string | null {
    return this.routes.get(id)?.dialled ?? null
  }

  /** The member answered a probe at `address`. Returns whether it is dialled elsewhere now. */
  prove(id: NodeId, address: string): boolean {
    const route = this.routes.get(id)
    if (route === undefined || route.listed !== address || route.dialled === address) return false
    return this.dial(route, address)
  }

  /**
   * A member called and announced its address. A member that calls is alive there, whatever was tried before. Returns whether it is dialled
   * elsewhere now.
   */
  announce(id: NodeId, raft: string): boolean {
    if (raft === '') return false
    this.said.delete(id)
    this.said.set(id, raft)
    dropOldest(this.said, this.deps.saidMax)
    const route = this.routes.get(id)
    if (route === undefined) return false
    route.announced = raft
    // A node at the address that the membership has outweighs one that answers elsewhere under the same id.
    if (route.dialled === raft || (this.deps.isConnected(id) && route.listed !== raft)) return false
    return this.dial(route, raft)
  }

  /** A member sent a message, so it is alive: if it cannot be reached where it is dialled, it may be at its other address. */
  onHeard(id: NodeId): boolean {
    const route = this.routes.get(id)
    return route !== undefined && !this.deps.isConnected(id) && this.turn(route)
  }

  onConnected(id: NodeId): void {
    const route = this.routes.get(id)
    if (route !== undefined) route.fresh = true
  }

  /** No node, or the wrong node, is at the address where a member is dialled. Returns whether it is dialled elsewhere now. */
  onFailed(id: NodeId): boolean {
    const route = this.routes.get(id)
    return route !== undefined && this.turn(route)
  }

  /**
   * Whether a refused connection means that the process is gone. It does not when the member has announced another address: followers must
   * not take a leader for dead whose new address was listed before it moved (raft.md 5).
   */
  isWhereItLives(id: NodeId): boolean {
    const route = this.routes.get(id)
    return route === undefined || route.announced === null || route.announced === route.dialled
  }

  private turn(route: Route): boolean {
    const other = route.dialled === route.listed ? route.announced : route.listed
    if (other === null || other === route.dialled) return false
    if (!route.fresh && this.deps.now() < route.since + this.deps.patienceMs) return false
    route.fresh = false
    return this.dial(route, other)
  }

  private dial(route: Route, address: string): boolean {
    route.dialled = address
    route.since = this.deps.now()
    return true
  }
}
