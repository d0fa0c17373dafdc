import { dropOldest } from '../../lib/drop-oldest.ts'
import type { NodeId } from '../../raft/index.ts'

/**
 * Nodes that called and are not members: a leader, as a pristine node sees it, or a member that this node has not heard of yet. They are
 * called back. Their number is limited: the node that called longest ago is forgotten first.
 */
export class Callers {
  private readonly max: number
  private readonly current = new Map<NodeId, string>()
  /**
   * Nodes to which no connection is kept any more: callers that could not be called back, and members that left. Each becomes a caller
   * again as soon as it says something: its own connection to this node may have stood all along.
   */
  private readonly uncalled = new Map<NodeId, string>()

  constructor(max: number) {
    this.max = max
  }

  /** Raft addresses by node id. */
  get all(): ReadonlyMap<NodeId, string> {
    return this.current
  }

  addressOf(id: NodeId): string | undefined {
    return this.current.get(id)
  }

  has(id: NodeId): boolean {
    return this.current.has(id) || this.uncalled.has(id)
  }

  /** Returns whether the caller or its address is new. */
  add(id: NodeId, raft: string): boolean {
    this.uncalled.delete(id)
    if (this.current.get(id) === raft) return false
    // To the end of the order, as the latest caller.
    this.current.delete(id)
    this.current.set(id, raft)
    dropOldest(this.current, this.max)
    return true
  }

  /** Node `id` said something. If this node had given up calling it, returns its last address; null otherwise. */
  takeUncalled(id: NodeId): string | null {
    const raft = this.uncalled.get(id)
    this.uncalled.delete(id)
    return raft ?? null
  }

  /** Calling `id` is pointless until it is heard again. */
  giveUp(id: NodeId, raft: string): void {
    this.current.delete(id)
    this.uncalled.set(id, raft)
    dropOldest(this.uncalled, this.max)
  }

  /** Node `id` is a member now. */
  remove(id: NodeId): void {
    this.current.delete(id)
  }
}
