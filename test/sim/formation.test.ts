import t from 'tap'
import { describeCrash } from './scenes/crash-points.ts'
import { disagreementScenes } from './scenes/disagreement-cases.ts'
import { discoveryScenes } from './scenes/discovery-cases.ts'
import { formationCases, formationSample, formationScenes, phasePairs, phases } from './scenes/formation-cases.ts'
import { expectMarks, playSample } from './scenes/play-sample.ts'
import { watchRejections } from './runner/run-seed.ts'
import { unreachableScenes } from './scenes/unreachable-cases.ts'
import { votedScenes } from './scenes/voted-cases.ts'

t.teardown(watchRejections())

t.test('the sample of five initialisers meets every two phases at every two places, and every crash', (t) => {
  const ofFive = formationSample().filter((one) => one.phases.length === 4)
  const pairs = new Set(ofFive.flatMap((one) => phasePairs(one.phases)))
  const placePairs = 6
  t.equal(pairs.size, placePairs * phases.length ** 2)
  const crashes = new Set(ofFive.map(({ crash }) => describeCrash(crash)))
  t.equal(crashes.size, 5 * 3 * 5 + 1)
  const classes = new Set(formationCases().map((one) => `${one.members} ${one.phases.join()}`))
  t.equal(classes.size, 4 + 2 * phases.length + phases.length ** 2 + phases.length ** 4, 'and the list has every class')
  t.end()
})

t.test('every class of interleavings of initialisers forms one cluster, whoever dies meanwhile', async (t) => {
  const report = await playSample(t, formationScenes())
  t.ok(report.played > 900, `${report.played} played`)
  t.ok(report.crashed > 800, `${report.crashed} of them with a crash`)
  // The phases that the next initialiser really met, because elections do not wait for it.
  for (const at of [0, 1]) {
    expectMarks(
      t,
      report,
      phases.map((phase) => `${at} is ${phase}`),
      5,
    )
  }
})

t.test('initialisers who are told different members never share a node, whoever dies meanwhile', async (t) => {
  const report = await playSample(t, disagreementScenes())
  t.ok(report.crashed > report.played / 3, `${report.crashed} with a crash`)
  expectMarks(t, report, ['1 cluster', '2 clusters', 'answered', 'already-initialized', 'peer-disagrees'], 30)
})

t.test('a cluster is formed without members that cannot be reached, or waits for them', async (t) => {
  const report = await playSample(t, unreachableScenes())
  t.ok(report.crashed > report.played / 2, `${report.crashed} with a crash`)
  expectMarks(t, report, ['formed without them', 'waited for them', 'formed without this side'], 8)
})

t.test('a node that has voted forms no other cluster', async (t) => {
  const report = await playSample(t, votedScenes())
  t.ok(report.crashed > report.played / 2, `${report.crashed} with a crash`)
  const refusals = ['the same', 'alone', 'others'].map((told) => `${told}: already-initialized`)
  expectMarks(t, report, ['vote on its way', 'vote on disk', ...refusals], 25)
})

t.test(
  'nodes that find each other form one cluster, whoever dies at whatever step, and whoever dies with it',
  async (t) => {
    const report = await playSample(t, discoveryScenes())
    t.ok(report.crashed > report.played / 2, `${report.crashed} with a crash`)
    const moments = ['pledge-begin', 'pledge-end', 'write-begin', 'write-end', 'send'].map(
      (moment) => `dies at ${moment}`,
    )
    expectMarks(t, report, [...moments, 'formed without it', 'waited for it'], 5)
  },
)
