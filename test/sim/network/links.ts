/** Mends one cut, and no other cut of the same link. Does nothing when called again, or after `healAll`. */
export type Mend = () => void

/**
 * Which host can reach which. Links are directed: one direction may be cut alone. Faults overlap: a link works when all its
 * cuts are mended.
 */
export class Links {
  private readonly cuts = new Map<string, Set<Mend>>()
  private readonly waiting = new Map<string, (() => void)[]>()

  cut(from: number, to: number): Mend {
    const name = nameOf(from, to)
    const cuts = this.cuts.get(name) ?? new Set()
    const mend = (): void => {
      if (cuts.delete(mend) && cuts.size === 0) this.release(name)
    }
    cuts.add(mend)
    this.cuts.set(name, cuts)
    return mend
  }

  healAll(): void {
    for (const [name, cuts] of this.cuts) {
      cuts.clear()
      this.release(name)
    }
  }

  isCut(from: number, to: number): boolean {
    return this.cuts.has(nameOf(from, to))
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
