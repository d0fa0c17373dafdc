import t from 'tap'
import { Draw } from './draw.ts'
import { describeCase, drawDisagreement, formationCases, runDisagreement, runFormationCase } from './formation-cases.ts'
import { watchRejections } from './run-seed.ts'

t.teardown(watchRejections())

t.test('every class of interleavings of initialisers forms one cluster, whoever dies meanwhile', async (t) => {
  const cases = formationCases()
  let crashes = 0
  for (const [at, given] of cases.entries()) {
    const { violation, crashed } = await runFormationCase(given, 1000 + at)
    if (crashed) crashes += 1
    if (violation !== null) t.fail(`${describeCase(given)}: ${violation.oracle}: ${violation.message}`)
  }
  t.ok(cases.length > 700, `${cases.length} cases`)
  t.ok(crashes > 400, `${crashes} of them with a crash`)
})

t.test('initialisers who were told different members never share a node', async (t) => {
  const draw = new Draw(1)
  for (let seed = 1; seed <= 500; seed++) {
    const given = drawDisagreement(draw)
    const { violation } = await runDisagreement(given, seed)
    if (violation !== null) t.fail(`${JSON.stringify(given)}: ${violation.oracle}: ${violation.message}`)
  }
  t.pass('500 disagreements')
})
