import type { Clock } from '../../ports/clock.ts'
import type { NodeId } from '../../raft/index.ts'

export interface LeaversDependencies {
  readonly clock: Clock
  /** The node's time is over: it need not be connected any more. `departed`: no committed membership names it either. */
  readonly onGone: (id: NodeId, raft: string, departed: boolean) => void
}

/** Nodes that left the membership. They stay connected for a while, so that they can learn that they left. */
export class Leavers {
  private readonly lingerMs: number
  private readonly deps: LeaversDependencies
  private readonly lingering = new Map<NodeId, { readonly raft: string; readonly cancel: () => void }>()
  /** Those of them that no committed membership names any more: their incarnations are forgotten when the time is over. */
  private readonly departed = new Set<NodeId>()

  constructor(lingerMs: number, deps: LeaversDependencies) {
    this.lingerMs = lingerMs
    this.deps = deps
  }

  has(id: NodeId): boolean {
    return this.lingering.has(id)
  }

  /** Their raft addresses, or the last known ones. */
  *addresses(): Iterable<[NodeId, string]> {
    for (const [id, { raft }] of this.lingering) yield [id, raft]
  }

  add(id: NodeId, raft: string): void {
    const cancel = this.deps.clock.after(this.lingerMs, () => {
      this.lingering.delete(id)
      this.deps.onGone(id, raft, this.departed.delete(id))
    })
    this.lingering.set(id, { raft, cancel })
  }

  /** Node `id` is a member again. */
  remove(id: NodeId): void {
    this.lingering.get(id)?.cancel()
    this.lingering.delete(id)
    this.departed.delete(id)
  }

  /** No committed membership names node `id` any more. */
  depart(id: NodeId): void {
    this.departed.add(id)
  }

  stop(): void {
    for (const { cancel } of this.lingering.values()) cancel()
  }
}
