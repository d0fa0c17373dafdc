/** What happened, one line each. Keeps the last lines of a long run, or prints everything at once when a seed is replayed. */
export class Trace {
  private readonly lines: string[] = []
  private next = 0
  private readonly linesMax: number
  private readonly print: ((line: string) => void) | null
  /** A hash of every line: two runs of one seed are the same run when it agrees. */
  private hash = 0

  constructor(options: { readonly linesMax: number; readonly print: ((line: string) => void) | null }) {
    this.linesMax = options.linesMax
    this.print = options.print
  }

  add(time: number, who: string, what: string): void {
    const line = `${time.toFixed(3).padStart(10)}  ${who.padEnd(8)} ${what}`
    let hash = this.hash
    for (let i = 0; i < line.length; i++) hash = (Math.imul(hash, 31) + line.charCodeAt(i)) | 0
    this.hash = hash
    if (this.print !== null) {
      this.print(line)
      return
    }
    this.lines[this.next % this.linesMax] = line
    this.next += 1
  }

  get digest(): number {
    return this.hash >>> 0
  }

  /** The last lines, oldest first. */
  tail(): string[] {
    if (this.next <= this.linesMax) return this.lines.slice(0, this.next)
    const at = this.next % this.linesMax
    return [...this.lines.slice(at), ...this.lines.slice(0, at)]
  }
}
