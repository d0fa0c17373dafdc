/** How many reads wait on this node, for whatever reason. One limit holds for all of them, since each costs memory while it waits. */
export class WaitingRoom {
  private readonly max: number
  private inside = 0

  constructor(max: number) {
    this.max = max
  }

  get count(): number {
    return this.inside
  }

  get isFull(): boolean {
    return this.inside >= this.max
  }

  enter(): void {
    this.inside += 1
  }

  leave(count: number): void {
    this.inside -= count
  }
}
