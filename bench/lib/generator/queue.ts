const COMPACT_MIN = 1024

/** First in, first out, in constant time however long it is. */
export class Queue<T> {
  private items: T[] = []
  private head = 0

  get size(): number {
    return this.items.length - this.head
  }

  add(item: T): void {
    this.items.push(item)
  }

  /** Null when it is empty. */
  take(): T | null {
    const item = this.items[this.head]
    if (item === undefined) return null
    this.head += 1
    if (this.head >= COMPACT_MIN && this.head * 2 > this.items.length) this.compact()
    return item
  }

  remove(item: T): void {
    this.compact()
    this.items = this.items.filter((one) => one !== item)
  }

  clear(): void {
    this.items = []
    this.head = 0
  }

  private compact(): void {
    this.items = this.items.slice(this.head)
    this.head = 0
  }
}
