import t from 'tap'
import { steps } from './scenes/membership-cases.ts'
import { membershipScenes } from './scenes/membership-scenes.ts'
import { expectMarks, playSample } from './scenes/play-sample.ts'
import { watchRejections } from './runner/run-seed.ts'

t.teardown(watchRejections())

t.test('every transition of voters is made, or not at all, whoever dies or is cut off meanwhile', async (t) => {
  const report = await playSample(t, membershipScenes())
  t.ok(report.played > 900, `${report.played} played`)
  t.ok(report.crashed > 600, `${report.crashed} of them with a crash`)
  expectMarks(
    t,
    report,
    steps.map((step) => `reached: ${step}`),
    60,
  )
  expectMarks(t, report, ['split: made', 'split: waits'], 20)
  expectMarks(t, report, ['crashed while split', 'leavers kept', 'leavers removed'], 100)
})
