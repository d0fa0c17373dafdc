import { limits } from '../../limits.ts'

interface Sample {
  readonly at: number
  readonly revision: number
}

/**
 * When the store was at which revision, by the clock of this node: a limited number of samples. What lies between two of them counts as of
 * the later one, so a revision is never taken for older than it is.
 */
export class RevisionTimes {
  /** Both `at` and `revision` ascend. */
  private samples: Sample[] = []

  /** The store is at `revision` now. `ageMs`: the age up to which revisions are told apart. */
  note(now: number, revision: number, ageMs: number): void {
    if (now < this.nextNoteAt(revision, ageMs)) return
    this.samples.push({ at: now, revision })
    if (this.samples.length > limits.historySamples.countMax * 2) this.samples.shift()
  }

  /** When `revision`, which the store is at, should be noted; Infinity when it is already. */
  nextNoteAt(revision: number, ageMs: number): number {
    const last = this.samples.at(-1)
    if (last === undefined) return -Infinity
    if (last.revision === revision) return Infinity
    return last.at + Math.max(ageMs / limits.historySamples.countMax, limits.historySamples.msMin)
  }

  /** A revision that the store had left behind, or was at, at `time`: the highest known; null when none is. Forgets those before it. */
  reachedBy(time: number): number | null {
    while (this.samples[1] !== undefined && this.samples[1].at <= time) this.samples.shift()
    const [first] = this.samples
    return first !== undefined && first.at <= time ? first.revision : null
  }

  /** When the store was first seen beyond `revision`; null when it was not. */
  leftAt(revision: number): number | null {
    return this.samples.find((sample) => sample.revision > revision)?.at ?? null
  }

  clear(): void {
    this.samples = []
  }
}
