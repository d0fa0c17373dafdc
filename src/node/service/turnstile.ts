/** Lets a limited number of calls run at the same time; the others wait for their turn, in the order of their arrival. */
export class Turnstile {
  private free: number
  private readonly waiting: (() => void)[] = []

  constructor(callsMax: number) {
    this.free = callsMax
  }

  async pass<T>(call: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free -= 1
    else await new Promise<void>((resolve) => this.waiting.push(resolve))
    try {
      return await call()
    } finally {
      const next = this.waiting.shift()
      if (next === undefined) this.free += 1
      else next()
    }
  }
}
