import { RequestError } from '../../../src/lib/errors.ts'
import type { Client, WriteOptions } from './client.ts'
import { ProcessEndedError } from './life.ts'

type Outcome = 'acknowledged' | 'refused' | 'unknown'

/** Writes under names that are used once, so that the store shows afterwards how often each took effect. */
export class Ledger {
  private readonly outcomes = new Map<string, Outcome>()
  /** How many refusals came with each code. */
  readonly codes = new Map<string, number>()
  private count = 0

  total(outcome: Outcome): number {
    return [...this.outcomes.values()].filter((one) => one === outcome).length
  }

  /** One write that nobody repeats. Never rejects. */
  async write(client: Client, options: WriteOptions = {}): Promise<Outcome> {
    const name = `entry-${this.count++}`
    const outcome = await client.put(name, name, options).then(
      (): Outcome => 'acknowledged',
      (error: unknown) => this.judge(error),
    )
    this.outcomes.set(name, outcome)
    return outcome
  }

  private judge(error: unknown): Outcome {
    if (error instanceof ProcessEndedError) return 'unknown'
    if (!(error instanceof RequestError)) throw error
    this.codes.set(error.code, (this.codes.get(error.code) ?? 0) + 1)
    return error.code === 'outcome-unknown' ? 'unknown' : 'refused'
  }

  /** Acknowledged writes took effect once, refused ones never, the others at most once. */
  async check(client: Client): Promise<void> {
    for (const [name, outcome] of this.outcomes) {
      const version = (await client.read(name)).record?.version ?? 0
      const right = outcome === 'acknowledged' ? version === 1 : outcome === 'refused' ? version === 0 : version <= 1
      if (!right) throw new Error(`${name}, ${outcome}, took effect ${version} times`)
    }
  }
}
