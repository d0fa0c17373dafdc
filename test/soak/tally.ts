/** How often what happened. */
export class Tally {
  private readonly counts = new Map<string, number>()

  count(what: string): void {
    this.add(what, 1)
  }

  add(what: string, amount: number): void {
    this.counts.set(what, this.of(what) + amount)
  }

  of(what: string): number {
    return this.counts.get(what) ?? 0
  }

  get summary(): string {
    return [...this.counts].map(([what, count]) => `${what} ${count}`).join(', ')
  }
}
