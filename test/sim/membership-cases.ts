import { Stage, type CrashOrder, type SceneOutcome } from './stage.ts'
import { Violation } from './violation.ts'

/** One change of voters. Machines are counted from 0. */
export interface MembershipCase {
  readonly from: readonly number[]
  readonly change:
    { readonly voters: readonly number[] } | { readonly add: readonly number[]; readonly remove: readonly number[] }
  readonly retain: boolean
  readonly crash: CrashOrder | null
  /** Cut off from everybody else from the moment the change is asked for, until it has been waited for in vain or done. */
  readonly isolated: readonly number[]
}

/** The transitions that openraft tests (its membership table), old voters and what becomes of them. */
const transitions: readonly Pick<MembershipCase, 'from' | 'change'>[] = [
  { from: [0], change: { voters: [1, 2] } },
  { from: [0], change: { voters: [1, 2, 3] } },
  { from: [0, 1], change: { voters: [1, 2] } },
  { from: [0, 1], change: { voters: [1] } },
  { from: [0, 1], change: { voters: [2] } },
  { from: [0, 1], change: { voters: [3] } },
  { from: [0, 1, 2], change: { voters: [4] } },
  { from: [0, 1, 2], change: { voters: [4, 5, 6] } },
  { from: [0, 1, 2, 3, 4], change: { voters: [0, 1, 2, 3] } },
  { from: [0], change: { add: [0, 1], remove: [] } },
  { from: [0], change: { add: [1, 2], remove: [] } },
  { from: [0, 1], change: { add: [], remove: [] } },
  { from: [0, 1, 2], change: { add: [], remove: [0, 1] } },
  { from: [0, 1, 2], change: { add: [], remove: [2] } },
  { from: [0, 1, 2], change: { add: [3], remove: [0] } },
  { from: [0, 1, 2], change: { voters: [0, 1, 2] } },
]

const CRASH_MOMENTS = ['write-begin', 'write-end', 'send'] as const
const CRASH_AT_MAX = 6

/** Every transition, with the leaving voters dropped or kept, and with each old voter dying at each step of it. */
export function membershipCases(): MembershipCase[] {
  const cases: MembershipCase[] = []
  for (const { from, change } of transitions) {
    for (const retain of [false, true]) cases.push({ from, change, retain, crash: null, isolated: [] })
    for (const machine of from) {
      for (const moment of CRASH_MOMENTS) {
        for (let at = 1; at <= CRASH_AT_MAX; at++) {
          const kind = at % 2 === 0 ? 'power' : 'kill'
          cases.push({ from, change, retain: at % 3 === 0, crash: { machine, moment, at, kind }, isolated: [] })
        }
      }
    }
    for (const victim of new Set([...from, ...targetOf({ from, change })])) {
      cases.push({ from, change, retain: false, crash: null, isolated: [victim] })
    }
  }
  return cases
}

function targetOf({ from, change }: Pick<MembershipCase, 'from' | 'change'>): number[] {
  if ('voters' in change) return [...change.voters]
  return [...new Set([...from, ...change.add])]
    .filter((machine) => !change.remove.includes(machine))
    .sort((a, b) => a - b)
}

export function describeMembershipCase(given: MembershipCase): string {
  const { from, change, retain, crash, isolated } = given
  const what = JSON.stringify(change)
  const death = crash === null ? '' : `, ${crash.machine} dies at ${crash.moment} ${crash.at} (${crash.kind})`
  const cut = isolated.length === 0 ? '' : `, ${isolated.join()} cut off`
  return `[${from.join()}] ${what}${retain ? ' retained' : ''}${death}${cut}`
}

/** No violation: the change was made, or might not have been made, and all rules held. */
export function runMembershipCase(
  given: MembershipCase,
  seed: number,
  print?: (line: string) => void,
): Promise<SceneOutcome> {
  const machines = Math.max(...given.from, ...targetOf(given)) + 1
  const stage = new Stage(seed, print === undefined ? { machines } : { machines, print })
  return stage.play(() => playMembershipCase(given, stage))
}

async function playMembershipCase(given: MembershipCase, stage: Stage): Promise<void> {
  const idOf = (at: number): number => at + 1
  stage.startAll()
  await stage.sleep(5)
  const founders = given.from.map((at) => stage.machine(at))
  const [first] = founders
  if (first === undefined) throw new Violation('scene', 'a case has voters')
  await stage.initialize(first, founders)
  await stage.waitForLeader()
  const target = targetOf(given)
  for (const at of target.filter((one) => !given.from.includes(one))) await addLearner(stage, at)
  await stage.write()
  const before = (await stage.waitForLeader()).view?.effective.logId?.index ?? -1
  await makeChange(given, stage)
  stage.cluster.network.links.healAll()
  await settle(stage)
  await stage.write()
  const leader = await stage.waitForLeader()
  const voters = leader.view?.effective.membership.configs.flat().map(Number) ?? []
  const expected = target.map(idOf)
  const wasMade = voters.join() === expected.join()
  const isUndone = voters.join() === given.from.map(idOf).join()
  stage.check(
    wasMade || (isUndone && mayFail(given)),
    'membership',
    `the voters are [${voters.join()}] instead of [${expected.join()}]`,
  )
  if (given.crash === null && given.isolated.length === 0) checkEntries(given, stage, before)
  if (wasMade) await checkLeavers(given, stage, expected)
  await stage.expectOneHealthyCluster()
}

/** A change that was interrupted may not have been taken. */
function mayFail({ crash, isolated }: MembershipCase): boolean {
  return crash !== null || isolated.length > 0
}

async function addLearner(stage: Stage, at: number): Promise<void> {
  const machine = stage.machine(at)
  for (;;) {
    const leader = await stage.waitForLeader()
    const member = { id: machine.id, ...machine.addresses }
    const outcome = await stage.ask(leader, ({ cluster }) => cluster.addLearner(member, true, 3_000))
    if (outcome.kind === 'answered' && outcome.value.caughtUp) return
    if (outcome.kind === 'failed' && outcome.code !== 'membership-change-in-progress' && outcome.code !== 'no-leader') {
      throw new Violation('scene', `adding learner ${at} fails with ${outcome.code}`)
    }
    await stage.sleep(20)
  }
}

async function makeChange(given: MembershipCase, stage: Stage): Promise<void> {
  const { links } = stage.cluster.network
  const ids = (list: readonly number[]): number[] => list.map((at) => at + 1)
  const { change } = given
  const voters = 'voters' in change ? ids(change.voters) : { add: ids(change.add), remove: ids(change.remove) }
  const leader = await stage.waitForLeader()
  if (given.crash !== null) stage.order(given.crash)
  for (const at of given.isolated) {
    for (const other of stage.machines) {
      if (other.id === at + 1) continue
      links.cut(at + 1, other.id)
      links.cut(other.id, at + 1)
    }
  }
  const request = { voters, retain: given.retain, allowLagging: false, force: true, ifMembershipAt: null }
  const outcome = await stage.ask(leader, ({ cluster }) => cluster.changeVoters(request, 2_500))
  if (mayFail(given)) return
  stage.check(outcome.kind === 'answered', 'membership', `the change fails: ${'code' in outcome ? outcome.code : ''}`)
}

/** Nothing is joint, and the last membership is committed wherever somebody leads. */
async function settle(stage: Stage): Promise<void> {
  await stage.waitFor('an end of the change', 20 * stage.options.node.electionTimeoutMsMax, () => {
    const view = stage.leader()?.view
    return (
      view?.established === true &&
      view.effective.membership.configs.length === 1 &&
      (view.effective.logId?.index ?? Infinity) <= view.committed
    )
  })
}

/** A change takes two entries, a change to what is there none. */
function checkEntries(given: MembershipCase, stage: Stage, before: number): void {
  const [ledger] = stage.cluster.formedClusters()
  const memberships = (ledger?.committed ?? []).filter(
    ({ logId, bytes }) => logId.index > before && bytes[4] === 1,
  ).length
  const isSame = targetOf(given).join() === given.from.join()
  stage.check(memberships === (isSame ? 0 : 2), 'membership', `${memberships} membership entries were written`)
}

/** Who left the cluster knows it, or at least never leads again; who was kept goes on receiving. */
async function checkLeavers(given: MembershipCase, stage: Stage, expected: readonly number[]): Promise<void> {
  const leavers = given.from.filter((at) => !expected.includes(at + 1))
  for (const at of leavers) {
    const machine = stage.machine(at)
    await stage.waitFor(
      `${machine.name} not to lead`,
      20 * stage.options.node.electionTimeoutMsMax,
      () => machine.view?.state !== 'leader',
    )
  }
  const leader = await stage.waitForLeader()
  const config = leader.view?.effective.membership.configs[0] ?? []
  stage.check(config.includes(leader.id), 'membership', `${leader.name} leads without being a voter`)
  for (const at of leavers) {
    const names = leader.view?.effective.membership.nodes.has(stage.machine(at).id) ?? false
    stage.check(names === given.retain, 'membership', `n${at + 1} is ${names ? 'still' : 'not'} a member`)
  }
}
