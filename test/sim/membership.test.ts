import t from 'tap'
import { describeMembershipCase, membershipCases, runMembershipCase } from './membership-cases.ts'
import { watchRejections } from './run-seed.ts'

t.teardown(watchRejections())

t.test('every transition of voters is made, or not at all, whoever dies or is cut off meanwhile', async (t) => {
  const cases = membershipCases()
  let crashes = 0
  for (const [at, given] of cases.entries()) {
    const { violation, crashed } = await runMembershipCase(given, 2000 + at)
    if (crashed) crashes += 1
    if (violation !== null) t.fail(`${describeMembershipCase(given)}: ${violation.oracle}: ${violation.message}`)
  }
  t.ok(cases.length > 700, `${cases.length} cases`)
  t.ok(crashes > 400, `${crashes} of them with a crash`)
})
