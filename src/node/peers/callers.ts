import { dropOldest } from '../../lib/drop-oldest.ts'
import type { NodeId } from '../../raft/index.ts'

/**
 * Nodes that called and are no members: a leader, as a pristine node sees it, or a member that this node has not heard of yet.
 * They are called back. Bounded: whoever called longest ago is forgotten first.
 */
export class Callers {
  private readonly max: number
  private readonly current = new Map<NodeId, string>()
  /**
   * Nodes that there is no connection to any more: callers that could not be called back, members that left. They are callers again as
   * soon as they say something: their own connection may have stood all the time.
   */
  private readonly uncalled = new Map<NodeId, string>()

  constructor(max: number) {
    this.max = max
  }

  /** Raft addresses. */
  get all(): ReadonlyMap<NodeId, string> {
    return this.current
  }

  addressOf(id: NodeId): string | undefined {
    return this.current.get(id)
  }

  has(id: NodeId): boolean {
    return this.current.has(id) || this.uncalled.has(id)
  }

  /** Returns whether that is news. */
  add(id: NodeId, raft: string): boolean {
    this.uncalled.delete(id)
    if (this.current.get(id) === raft) return false
    // Behind all others.
    this.current.delete(id)
    this.current.set(id, raft)
    dropOldest(this.current, this.max)
    return true
  }

  /** It said something. Returns where it was when there was a connection, if there is none any more. */
  takeUncalled(id: NodeId): string | null {
    const raft = this.uncalled.get(id)
    this.uncalled.delete(id)
    return raft ?? null
  }

  /** There is no point in calling `id` before it is heard again. */
  giveUp(id: NodeId, raft: string): void {
    this.current.delete(id)
    this.uncalled.set(id, raft)
    dropOldest(this.uncalled, this.max)
  }

  /** It is a member now. */
  remove(id: NodeId): void {
    this.current.delete(id)
  }
}
