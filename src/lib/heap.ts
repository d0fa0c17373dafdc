/** A heap with its least element first; equal elements are in no particular order. */
export class Heap<T> {
  private readonly isBefore: (one: T, other: T) => boolean
  private elements: T[] = []

  constructor(isBefore: (one: T, other: T) => boolean) {
    this.isBefore = isBefore
  }

  get size(): number {
    return this.elements.length
  }

  /** The least element; undefined when the heap is empty. */
  peek(): T | undefined {
    return this.elements[0]
  }

  push(element: T): void {
    this.elements.push(element)
    this.rise(this.elements.length - 1, element)
  }

  pop(): T | undefined {
    const least = this.elements[0]
    const last = this.elements.pop()
    if (last !== undefined && this.elements.length > 0) this.sink(0, last)
    return least
  }

  /** Removes every element that `keep` refuses, and returns those. Costs a walk over all elements, and a rebuild if any is removed. */
  sift(keep: (element: T) => boolean): T[] {
    const gone: T[] = []
    const kept: T[] = []
    for (const element of this.elements) (keep(element) ? kept : gone).push(element)
    if (gone.length > 0) {
      this.elements = kept
      for (let at = (kept.length >> 1) - 1; at >= 0; at--) {
        const element = kept[at]
        if (element !== undefined) this.sink(at, element)
      }
    }
    return gone
  }

  private rise(from: number, element: T): void {
    let at = from
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = this.elements[above]
      if (parent === undefined || !this.isBefore(element, parent)) break
      this.elements[at] = parent
      at = above
    }
    this.elements[at] = element
  }

  private sink(from: number, element: T): void {
    let at = from
    for (;;) {
      let below = 2 * at + 1
      let child = this.elements[below]
      if (child === undefined) break
      const right = this.elements[below + 1]
      if (right !== undefined && this.isBefore(right, child)) {
        child = right
        below += 1
      }
      if (!this.isBefore(child, element)) break
      this.elements[at] = child
      at = below
    }
    this.elements[at] = element
  }
}
