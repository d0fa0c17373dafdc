/** The events of a run, one line each. Lines are kept only if somebody reads them. */
export class Trace {
  private readonly print: ((line: string) => void) | null

  constructor(print: ((line: string) => void) | null) {
    this.print = print
  }

  /** Whether anybody reads the lines. */
  get isOn(): boolean {
    return this.print !== null
  }

  add(time: number, who: string, what: string): void {
    this.print?.(`${time.toFixed(3).padStart(11)}  ${who.padEnd(7)} ${what}`)
  }
}
