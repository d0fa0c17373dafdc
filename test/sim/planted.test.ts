import t from 'tap'
import { withCrew } from './runner/crew.ts'
import { firstSeedFor } from './runner/first-seed.ts'
import type { SeedReport } from './runner/simulation.ts'
import type { WorkerRequest } from './runner/worker.ts'
import { plantedBug } from './planted/catalogue.ts'

const WORKERS = 2

/** Bugs that show within a few seeds. Every test run checks that the oracles still detect them. */
const QUICK_BUGS = [
  'vote-not-persisted',
  'reply-before-sync',
  'sync-ignored',
  'commit-quorum-one-short',
  'vote-for-short-log',
  'apply-dropped',
  'applied-twice',
  'flush-skipped',
  'forwarded-twice',
  'conflicting-entries-kept',
  'idempotent-writes-repeated',
  'kept-values-not-stored',
  'deletion-not-kept',
  'historian-asleep',
  'past-passes-over-deletions',
  'compacted-is-shown',
  'watch-repeats-at-hand-over',
  'watch-progress-ahead',
  'lease-ends-early',
  'lock-for-everybody',
  'auth-decided-at-front',
  'auth-watch-goes-on',
  'import-counts-ahead',
  'version-repeated',
  'lock-of-the-past',
  'compaction-bound-falls',
  'incarnations-not-compared',
  'incarnations-not-written',
]
const QUICK_SEEDS_MAX = 30

t.test('the oracles see planted bugs', async (t) => {
  await withCrew(WORKERS, async (crew) => {
    for (const bug of QUICK_BUGS) {
      const from = firstSeedFor(plantedBug(bug))
      let seed = from
      let found: SeedReport | null = null
      const next = (): WorkerRequest | null =>
        found !== null || seed >= from + QUICK_SEEDS_MAX ? null : { seed: seed++, bug, focus: null }
      await crew.run(next, (report) => {
        if (report.violation !== null) found = report
      })
      t.ok(found, bug)
    }
  })
})
