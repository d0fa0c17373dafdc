import type { NodeId } from '../../raft/index.ts'
import type { PeerRegister } from '../options.ts'

export interface IncarnationsDependencies {
  readonly register: PeerRegister
  /** A member is by now somebody else than the node that was met under its id. */
  readonly onMistaken: (id: NodeId) => void
  readonly onFault: (error: unknown) => void
}

/**
 * Who each member is: the incarnation that was drawn when its data directory was made, remembered over restarts, so that a voter
 * that lost its data is told from the one that it was (raft.md 4).
 */
export class Incarnations {
  private readonly deps: IncarnationsDependencies
  private readonly self: { readonly id: NodeId; readonly incarnation: string }
  /** Of members, as remembered on disk. */
  private readonly known = new Map<NodeId, string>()
  /** Met in this life, of anybody. */
  private readonly met = new Map<NodeId, string>()

  constructor(self: { readonly id: NodeId; readonly incarnation: string }, deps: IncarnationsDependencies) {
    this.self = self
    this.deps = deps
  }

  async load(): Promise<void> {
    for (const [id, incarnation] of await this.deps.register.load()) this.known.set(id, incarnation)
  }

  /** By which a member is known, or null. */
  of(id: NodeId): string | null {
    return id === this.self.id ? this.self.incarnation : (this.known.get(id) ?? null)
  }

  get knownIds(): readonly NodeId[] {
    return [...this.known.keys()]
  }

  metAs(id: NodeId): string | null {
    return this.met.get(id) ?? null
  }

  meet(id: NodeId, incarnation: string): void {
    this.met.set(id, incarnation)
  }

  get metCount(): number {
    return this.met.size
  }

  forgetMet(isKept: (id: NodeId) => boolean): void {
    for (const id of this.met.keys()) if (!isKept(id)) this.met.delete(id)
  }

  /** `id` is a member: whoever was met under its id counts as it, unless somebody else is known by it already. */
  settle(id: NodeId): void {
    const met = this.met.get(id)
    if (met !== undefined && !this.known.has(id)) this.replace(id, met)
  }

  replace(id: NodeId, incarnation: string): void {
    if (this.of(id) === incarnation || id === this.self.id) return
    this.known.set(id, incarnation)
    if (this.isMistaken(id)) this.deps.onMistaken(id)
    this.deps.register.remember(id, incarnation).catch((error: unknown) => this.deps.onFault(error))
  }

  /** Whether the node met last under this id is not the one that is known by it. */
  isMistaken(id: NodeId): boolean {
    const met = this.met.get(id)
    return met !== undefined && this.known.has(id) && this.known.get(id) !== met
  }

  forget(id: NodeId): void {
    this.known.delete(id)
    this.met.delete(id)
    this.deps.register.forget(id).catch((error: unknown) => this.deps.onFault(error))
  }
}
