import type { NodeId } from '../../raft/index.ts'
import type { Faults, PeerRegister } from '../options.ts'

export interface IncarnationsDependencies {
  readonly register: PeerRegister
  /** What the register held when this process started. */
  readonly known: ReadonlyMap<NodeId, string>
  /** The incarnation that was met under a member's id is not the one that the member is known by now. */
  readonly onMistaken: (id: NodeId) => void
  readonly faults: Faults
}

/**
 * The incarnation of each member, drawn when its data directory was created and remembered across restarts, so that a voter that lost its
 * data can be told from the voter it was before (raft.md 4).
 */
export class Incarnations {
  private readonly deps: IncarnationsDependencies
  private readonly self: { readonly id: NodeId; readonly incarnation: string }
  /** Of members; these are remembered on disk. */
  private readonly known: Map<NodeId, string>
  /** Of any node that was met since this process started. */
  private readonly met = new Map<NodeId, string>()

  constructor(self: { readonly id: NodeId; readonly incarnation: string }, deps: IncarnationsDependencies) {
    this.self = self
    this.deps = deps
    this.known = new Map(deps.known)
  }

  /** The incarnation by which a member is known, or null. */
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

  /** `id` is a member: the incarnation that was met under its id becomes the known one, unless one is known already. */
  settle(id: NodeId): void {
    const met = this.met.get(id)
    if (met !== undefined && !this.known.has(id)) this.replace(id, met)
  }

  replace(id: NodeId, incarnation: string): void {
    if (this.of(id) !== incarnation) this.learn(new Map([[id, incarnation]]), () => undefined)
  }

  /** Members are known by these incarnations from now on. Calls `onWritten` when that is on disk, at once if there is nothing to write. */
  learn(told: ReadonlyMap<NodeId, string>, onWritten: () => void): void {
    const { register, faults } = this.deps
    const others = [...told].filter(([id]) => id !== this.self.id)
    if (others.length === 0) return onWritten()
    const written = others.map(async ([id, incarnation]) => {
      this.known.set(id, incarnation)
      if (this.isMistaken(id)) this.deps.onMistaken(id)
      await register.remember(id, incarnation)
    })
    Promise.all(written)
      .then(onWritten)
      .catch((error: unknown) => faults.report(error))
  }

  /** Whether the incarnation last met under this id is not the one that it is known by. */
  isMistaken(id: NodeId): boolean {
    const met = this.met.get(id)
    return met !== undefined && this.known.has(id) && this.known.get(id) !== met
  }

  forget(id: NodeId): void {
    this.known.delete(id)
    this.met.delete(id)
    this.deps.register.forget(id).catch((error: unknown) => this.deps.faults.report(error))
  }
}
