import { SeededRandom } from '../../../src/lib/random.ts'

/** A seeded generator with the distributions that a simulation needs. */
export class Draw extends SeededRandom {
  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  between(from: number, to: number): number {
    return from + this.fraction() * (to - from)
  }

  /** Many small values and a few large ones. */
  exponential(mean: number): number {
    return -Math.log(1 - this.fraction()) * mean
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.integer(0, items.length)]
    if (items.length === 0) throw new Error('picks from something')
    return item as T
  }

  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items]
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.integer(0, i + 1)
      const item = shuffled[i] as T
      shuffled[i] = shuffled[j] as T
      shuffled[j] = item
    }
    return shuffled
  }

  /** `count` different items. */
  sample<T>(items: readonly T[], count: number): T[] {
    return this.shuffle(items).slice(0, count)
  }

  /** Another generator. Its numbers do not depend on how many are drawn from this one later. */
  fork(): Draw {
    return new Draw(this.integer(0, 2 ** 32))
  }
}
