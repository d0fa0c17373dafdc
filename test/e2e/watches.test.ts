import t from 'tap'
import { watchThroughKills } from './support/watch-run.ts'

t.test('watches that are resumed through kills of every node see each change once, in order', async (t) => {
  const report = await watchThroughKills(t, { durationMs: 4_000, calmMs: 200, writers: 4, pauseMs: 2 })
  t.same(report.complaints, [])
  t.ok(report.acknowledged > 200 && report.told > report.acknowledged, JSON.stringify(report))
})
