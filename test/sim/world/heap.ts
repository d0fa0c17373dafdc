/** An event at a moment of virtual time. `run` is null after the event was cancelled. */
export interface ScheduledEvent {
  readonly time: number
  /** Breaks ties: of two events at one moment the one that was scheduled first comes first. */
  readonly seq: number
  run: (() => void) | null
}

function before(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.time < b.time || (a.time === b.time && a.seq < b.seq)
}

/** A binary heap of events, the earliest on top. */
export class EventHeap {
  private readonly items: ScheduledEvent[] = []

  push(event: ScheduledEvent): void {
    const items = this.items
    let at = items.length
    items.push(event)
    while (at > 0) {
      const parentAt = (at - 1) >> 1
      const parent = items[parentAt]
      if (parent === undefined || !before(event, parent)) break
      items[at] = parent
      at = parentAt
    }
    items[at] = event
  }

  peek(): ScheduledEvent | undefined {
    return this.items[0]
  }

  pop(): ScheduledEvent | undefined {
    const items = this.items
    const top = items[0]
    const last = items.pop()
    if (top === undefined || last === undefined || items.length === 0) return top
    let at = 0
    for (;;) {
      let childAt = 2 * at + 1
      let child = items[childAt]
      if (child === undefined) break
      const right = items[childAt + 1]
      if (right !== undefined && before(right, child)) {
        childAt += 1
        child = right
      }
      if (!before(child, last)) break
      items[at] = child
      at = childAt
    }
    items[at] = last
    return top
  }
}
