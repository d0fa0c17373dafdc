/** Which host can reach which. Directed: a link may be cut one way only. Faults overlap, so cuts are counted. */
export class Links {
  private readonly cuts = new Map<string, number>()
  private readonly waiting = new Map<string, (() => void)[]>()

  cut(from: number, to: number): void {
    const name = nameOf(from, to)
    this.cuts.set(name, (this.cuts.get(name) ?? 0) + 1)
  }

  heal(from: number, to: number): void {
    const name = nameOf(from, to)
    const count = (this.cuts.get(name) ?? 0) - 1
    if (count > 0) this.cuts.set(name, count)
    else this.release(name)
  }

  healAll(): void {
    for (const name of this.cuts.keys()) this.release(name)
  }

  isCut(from: number, to: number): boolean {
    return this.cuts.has(nameOf(from, to))
  }

  get anyCut(): boolean {
    return this.cuts.size > 0
  }

  /** Calls `run` once the link works again. */
  whenHealed(from: number, to: number, run: () => void): void {
    const name = nameOf(from, to)
    const waiting = this.waiting.get(name)
    if (waiting === undefined) this.waiting.set(name, [run])
    else waiting.push(run)
  }

  private release(name: string): void {
    this.cuts.delete(name)
    const waiting = this.waiting.get(name) ?? []
    this.waiting.delete(name)
    for (const run of waiting) run()
  }
}

function nameOf(from: number, to: number): string {
  return `${from}>${to}`
}
