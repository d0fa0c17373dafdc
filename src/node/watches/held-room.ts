/** Bounds the bytes that all watchers together hold of what was read from the disk for them. */
export class HeldRoom {
  private readonly bytesMax: number
  private bytes = 0
  private waiting: (() => void)[] = []

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get isFull(): boolean {
    return this.bytes >= this.bytesMax
  }

  /** So many bytes more are held than before (fewer when negative). */
  add(bytes: number): void {
    this.bytes += bytes
    if (!this.isFull) this.letIn()
  }

  whenFree(): Promise<void> {
    return this.isFull ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve()
  }

  /** Nobody waits any longer. */
  letIn(): void {
    for (const resolve of this.waiting.splice(0)) resolve()
  }
}
