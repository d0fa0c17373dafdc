import t from 'tap'
import { callNode } from './call.ts'
import { describeCase, formationCases, runFormationCase } from './formation-cases.ts'
import { memberOf } from './formation.ts'
import { watchRejections } from './run-seed.ts'
import { Stage } from './stage.ts'

t.teardown(watchRejections())

t.test('every class of interleavings of initialisers forms one cluster, whoever dies meanwhile', async (t) => {
  const cases = formationCases()
  let failed = 0
  for (const [at, given] of cases.entries()) {
    const violation = await runFormationCase(given, 1000 + at)
    if (violation === null) continue
    failed += 1
    if (failed <= 5) t.fail(`${describeCase(given)}: ${violation.oracle}: ${violation.message}`)
  }
  t.equal(failed, 0, `${cases.length} cases`)
})
