import type { NodeAddresses, NodeId } from '../../raft/index.ts'
import { dropOldest } from '../../lib/drop-oldest.ts'

export interface DialAddressesDependencies {
  readonly now: () => number
  readonly isConnected: (id: NodeId) => boolean
  /** How long an address that does not lead to its member is tried before the other one has its turn again. */
  readonly patienceMs: number
  /** Of how many nodes it is kept in mind where they said that they are. */
  readonly saidMax: number
}

interface Route {
  /** As the membership has it. */
  listed: string
  /** As the member itself said when it last called. */
  announced: string | null
  /** Where it is dialled: `listed`, `announced`, or what was listed before as long as that works. */
  dialled: string
  since: number
  /** The other address has not been tried since this one was known to work, or since it was listed. */
  fresh: boolean
}

/**
 * Where each member is dialled. The membership says where a member is; a member that has moved says it itself, in its hello, before or
 * after the membership is changed. Who answers is asked for its cluster, id and incarnation on every connection, so an
 * address is never more than a place to look.
 */
export class DialAddresses {
  private readonly deps: DialAddressesDependencies
  private readonly routes = new Map<NodeId, Route>()
  /** Where nodes said that they are, members or not: a node that reads an old log sees them leave and come back to where they are no more. */
  private readonly said = new Map<NodeId, string>()

  constructor(deps: DialAddressesDependencies) {
    this.deps = deps
  }

  /**
   * The membership changed. Returns members that are connected and are listed under another address now: theirs is taken by `prove` once
   * somebody has asked there, so that a working connection is never given up for an address where nobody is yet.
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

  /** The member was asked at `address` and answered. Returns whether it is dialled elsewhere now. */
  prove(id: NodeId, address: string): boolean {
    const route = this.routes.get(id)
    if (route === undefined || route.listed !== address || route.dialled === address) return false
    return this.dial(route, address)
  }

  /** A member called and said where it is. Who calls is alive there, whatever was tried before. */
  announce(id: NodeId, raft: string): boolean {
    if (raft === '') return false
    this.said.delete(id)
    this.said.set(id, raft)
    dropOldest(this.said, this.deps.saidMax)
    const route = this.routes.get(id)
    if (route === undefined) return false
    route.announced = raft
    if (route.dialled === raft || this.deps.isConnected(id)) return false
    return this.dial(route, raft)
  }

  /** A message of a member came, so that it lives: if it cannot be reached where it is dialled, it may be at its other address. */
  onHeard(id: NodeId): boolean {
    const route = this.routes.get(id)
    return route !== undefined && !this.deps.isConnected(id) && this.turn(route)
  }

  onConnected(id: NodeId): void {
    const route = this.routes.get(id)
    if (route !== undefined) route.fresh = true
  }

  /** Nobody is where a member is dialled, or somebody else. Returns whether it is dialled elsewhere now. */
  onFailed(id: NodeId): boolean {
    const route = this.routes.get(id)
    return route !== undefined && this.turn(route)
  }

  /**
   * Whether a refused connection says that the process is gone. It does not when the member lives at another address as far as it has
   * said: its followers must not take a leader for dead whose new address was listed before it moved (raft.md 5).
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
