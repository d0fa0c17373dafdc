import t from 'tap'
import { Fuzz, type Tally } from './support/fuzz.ts'

/** More, or one that failed: RAFT_FUZZ_FROM=4129 RAFT_FUZZ_SEEDS=1 npx tap test/raft/fuzz.test.ts */
const from = Number(process.env['RAFT_FUZZ_FROM'] ?? 1)
const seeds = Number(process.env['RAFT_FUZZ_SEEDS'] ?? 200)

t.test('random histories of whole clusters keep every safety property and come to rest', async (t) => {
  const tally: Tally = new Map()
  for (let seed = from; seed < from + seeds; seed++) {
    try {
      new Fuzz(seed, tally).run()
    } catch (error) {
      t.error(error, `seed ${seed}`)
      break
    }
  }
  if (seeds >= 200) {
    const expected = ['calm', 'crash', 'snapshot', 'purge', 'lost-tail', 'change-appended', 'transfer-started']
    for (const name of [...expected, 'read-ready', 'read-failed', 'lease-read', 'propose']) {
      t.ok((tally.get(name) ?? 0) > 0, `${name} happened`)
    }
  }
  t.comment([...tally].map(([name, times]) => `${name} ${times}`).join(', '))
})
