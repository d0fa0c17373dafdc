/** What happened, one line each; nothing is kept unless somebody reads it. */
export class Trace {
  private readonly print: ((line: string) => void) | null

  constructor(print: ((line: string) => void) | null) {
    this.print = print
  }

  /** Whether lines are worth making. */
  get isOn(): boolean {
    return this.print !== null
  }

  add(time: number, who: string, what: string): void {
    this.print?.(`${time.toFixed(3).padStart(11)}  ${who.padEnd(7)} ${what}`)
  }
}
