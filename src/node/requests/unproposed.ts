import type { Pending } from './pending.ts'

export interface BatchBounds {
  readonly batchEntriesMax: number
  readonly batchBytesMax: number
}

/** Commands that no leader has taken. Those whose last batch is lost come before those that were never in a batch. */
export class Unproposed {
  private readonly lost = new Set<Pending>()
  private readonly fresh = new Set<Pending>()
  /** Those of both that no other node may propose. */
  private readonly onlyHere = new Set<Pending>()

  get isEmpty(): boolean {
    return this.lost.size === 0 && this.fresh.size === 0
  }

  has(pending: Pending): boolean {
    return this.fresh.has(pending) || this.lost.has(pending)
  }

  addFresh(pending: Pending): void {
    this.fresh.add(pending)
    if (pending.isOnlyHere) this.onlyHere.add(pending)
  }

  addLost(pending: Pending): void {
    this.lost.add(pending)
    if (pending.isOnlyHere) this.onlyHere.add(pending)
  }

  delete(pending: Pending): void {
    if (!this.fresh.delete(pending)) this.lost.delete(pending)
    if (pending.isOnlyHere) this.onlyHere.delete(pending)
  }

  /** Takes the commands that only this node may propose. */
  takeOnlyHere(): readonly Pending[] {
    const members = [...this.onlyHere]
    for (const pending of members) this.delete(pending)
    return members
  }

  /** Takes the next commands, within the bounds of a batch; at least one. */
  takeBatch({ batchEntriesMax, batchBytesMax }: BatchBounds): Pending[] {
    const members: Pending[] = []
    let bytes = 0
    for (const line of [this.lost, this.fresh]) {
      for (const pending of line) {
        if (members.length === batchEntriesMax) return members
        if (members.length > 0 && bytes + pending.command.length > batchBytesMax) return members
        line.delete(pending)
        if (pending.isOnlyHere) this.onlyHere.delete(pending)
        members.push(pending)
        bytes += pending.command.length
      }
    }
    return members
  }
}
