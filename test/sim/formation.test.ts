import t from 'tap'
import { describeCase, formationCases, runFormationCase } from './formation-cases.ts'
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
