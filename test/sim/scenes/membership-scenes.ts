import { indexOf, type RaftView } from '../../../src/raft/index.ts'
import type { CallOutcome } from '../clients/call.ts'
import type { Machine } from '../machines/machine.ts'
import {
  describeMembershipCase,
  isSame,
  joinersOf,
  membershipCases,
  membershipSample,
  targetOf,
  type MembershipCase,
  type Step,
} from './membership-cases.ts'
import type { Scene } from './scene.ts'
import type { Stage } from './stage.ts'
import { Violation } from '../world/violation.ts'

export function membershipScenes(): Scene[] {
  const sampled = new Set(membershipSample().map(describeMembershipCase))
  return membershipCases().map((given) => {
    const name = describeMembershipCase(given)
    const named = 'add' in given.change ? given.change.remove : []
    const machines = Math.max(...given.from, ...targetOf(given), ...named) + 1
    return { name, isSampled: sampled.has(name), machines, play: (stage) => playMembership(given, stage) }
  })
}

const idOf = (at: number): number => at + 1

/** The change was made or refused, or a disturbance may have prevented it; and all rules held. */
async function playMembership(given: MembershipCase, stage: Stage): Promise<void> {
  stage.startAll()
  await stage.sleep(5)
  const founders = given.from.map((at) => stage.machine(at))
  const [first] = founders
  if (first === undefined) throw new Violation('scene', 'a case has voters')
  await stage.initialize(first, founders)
  await stage.waitForLeader()
  if (given.at === 'joining' && given.crash !== null) stage.order(given.crash)
  for (const at of joinersOf(given)) await addLearner(stage, at)
  await stage.write()
  // A machine that lags when the change is requested, or when the links break, would be refused for that reason.
  if (given.isolated.length > 0 || !mayFail(given)) await levelOut(given, stage)
  const before = (await stage.waitForLeader()).view?.effective.logId?.index ?? -1
  const { outcome, kept } = await makeChange(given, stage, before)
  stage.heal()
  await settle(stage)
  await stage.write()
  const voters = votersOf(await stage.waitForLeader())
  const expected = targetOf(given).map(idOf).join()
  const wasMade = voters.join() === expected
  const isUndone = voters.join() === given.from.map(idOf).join()
  stage.check(
    wasMade || (isUndone && mayFail(given)),
    'membership',
    `the voters are [${voters.join()}] instead of [${expected}]`,
  )
  checkTruth(given, stage, { outcome, kept, wasMade })
  if (!mayFail(given)) checkEntries(given, stage, before)
  if (wasMade) await checkLeavers(given, stage)
  await stage.expectOneHealthyCluster()
}

function holdMajority(voters: readonly number[], holds: (at: number) => boolean): boolean {
  return voters.filter(holds).length * 2 > voters.length
}

function votersOf(machine: Machine): number[] {
  return machine.view?.effective.membership.configs.flat().map(Number) ?? []
}

/** Whether an interruption may have prevented the change. */
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
    // The machine to be added may be down at this moment.
    const isPassing = outcome.kind !== 'failed' || PASSING.has(outcome.code)
    if (!isPassing) throw new Violation('scene', `adding learner ${at} fails with ${outcome.code}`)
    await stage.sleep(20)
  }
}

/** Waits until the leader knows that all present and future voters have its whole log. */
async function levelOut(given: MembershipCase, stage: Stage): Promise<void> {
  const ids = [...given.from, ...targetOf(given)].map(idOf)
  await stage.waitFor('everybody to be level', 20 * stage.options.node.electionTimeoutMsMax, () => {
    const view = stage.leader()?.view
    if (view?.established !== true) return false
    const { followers, last } = view
    return ids.every((id) => id === view.id || followers.some((one) => one.id === id && one.matched === last?.index))
  })
}

const PASSING = new Set(['membership-change-in-progress', 'no-leader', 'not-ready'])

/** Requests the change, with the disturbance of the case, and checks the answer against what may be true. */
async function makeChange(
  given: MembershipCase,
  stage: Stage,
  before: number,
): Promise<{ outcome: Outcome; kept: boolean }> {
  const ids = (list: readonly number[]): number[] => list.map(idOf)
  const { change, retain } = given
  const voters = 'voters' in change ? ids(change.voters) : { add: ids(change.add), remove: ids(change.remove) }
  const leader = await stage.waitForLeader()
  const endDisturbance = disturb(given, stage, before)
  const request = { voters, retain, allowLagging: false, force: true, ifMembershipAt: null }
  const outcome = await stage.ask(leader, ({ cluster }) => cluster.changeVoters(request, 2_500))
  checkAnswer(given, stage, outcome)
  await endDisturbance()
  if (given.isolated.length > 0 && given.at === 'asked') checkMajorities(given, stage, { leader, before, outcome })
  return { outcome, kept: isKept(given, stage, before) }
}

/** Cuts the links and counts the crash from the step that the case names. Returns a function that ends this. */
function disturb(given: MembershipCase, stage: Stage, before: number): () => Promise<void> {
  const { at, crash, isolated } = given
  const act = (): void => {
    if (isolated.length > 0) stage.split(isolated)
    if (crash !== null) stage.order(crash)
    stage.mark(`reached: ${at}`)
  }
  let unwatch = (): void => undefined
  if (at === 'asked') act()
  else if (at !== 'joining') {
    unwatch = stage.watch((_, { view }) => {
      if (!hasReached(view, at, before)) return
      unwatch()
      act()
    })
  }
  return async () => {
    unwatch()
    if (isolated.length === 0) return
    // Long enough for both sides to react to the split.
    await stage.sleep(2 * stage.options.node.electionTimeoutMsMax)
    if (stage.hasCrashed) stage.mark('crashed while split')
  }
}

/** Whether a node sees, at `step` or later, the change that was requested after the entry `before`. */
function hasReached({ effective, committedMembership }: RaftView, step: Step, before: number): boolean {
  const { membership, logId } = step.endsWith('committed') ? committedMembership : effective
  if ((logId?.index ?? -1) <= before) return false
  return step.startsWith('joint') ? membership.configs.length > 1 : membership.configs.length === 1
}

type Outcome = CallOutcome<unknown>

/**
 * Without a disturbance, the change is made or refused as it must be. A disturbance may hide an expected refusal behind a
 * temporary failure, but never turns it into a success or another refusal.
 */
function checkAnswer(given: MembershipCase, stage: Stage, outcome: Outcome): void {
  const { refusal } = given
  const code = outcome.kind === 'answered' ? 'made' : outcome.code
  if (refusal === undefined) {
    stage.check(outcome.kind === 'answered' || mayFail(given), 'membership', `the change fails: ${code}`)
    return
  }
  const isInterrupted = mayFail(given) && (outcome.kind === 'silent' || outcome.kind === 'refused' || PASSING.has(code))
  stage.check(code === refusal || isInterrupted, 'membership', `the answer is ${code} instead of ${refusal}`)
}

/**
 * The split came before the request, and nothing crashed. The change is made exactly if the leader's side has a majority of
 * both configurations (openraft's t30). Otherwise nothing of it is committed anywhere.
 */
function checkMajorities(
  given: MembershipCase,
  stage: Stage,
  { leader, before, outcome }: { leader: Machine; before: number; outcome: Outcome },
): void {
  if (given.crash !== null) return
  const isCutOff = given.isolated.includes(stage.machines.indexOf(leader))
  const isReached = (at: number): boolean => given.isolated.includes(at) === isCutOff
  const isMade = holdMajority(given.from, isReached) && holdMajority(targetOf(given), isReached)
  stage.mark(isMade ? 'split: made' : 'split: waits')
  const code = outcome.kind === 'answered' ? 'made' : outcome.code
  stage.check(isMade === (outcome.kind === 'answered'), 'membership', `with the links cut the answer is ${code}`)
  if (isMade) return
  const early = stage.machines.find(({ view }) => view !== null && indexOf(view.committedMembership.logId) > before)
  stage.check(early === undefined, 'membership', `${early?.name} takes the change for committed without majorities`)
}

/** Nothing crashed, and a majority of the old voters has the change in its log, so the next leader has it too. */
function isKept(given: MembershipCase, stage: Stage, before: number): boolean {
  if (given.crash !== null) return false
  return holdMajority(given.from, (at) => indexOf(stage.machine(at).view?.effective.logId ?? null) > before)
}

/** The result agrees with the answer. */
function checkTruth(
  given: MembershipCase,
  stage: Stage,
  { outcome, kept, wasMade }: { outcome: Outcome; kept: boolean; wasMade: boolean },
): void {
  if (isSame(given)) return
  if (outcome.kind === 'answered') stage.check(wasMade, 'membership', 'a change that was answered is undone')
  if (kept) stage.check(wasMade, 'membership', 'a change that a majority of the old voters holds is undone')
  const isDefinite = outcome.kind === 'refused' || (outcome.kind === 'failed' && !outcome.ambiguous)
  if (isDefinite) stage.check(!wasMade, 'membership', `a change that was answered with ${outcome.code} is made`)
}

/** Waits until no configuration is joint and every leader has committed its last membership. */
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

/** A change takes two log entries. A change without effect, or one that is refused, takes none. */
function checkEntries(given: MembershipCase, stage: Stage, before: number): void {
  const [ledger] = stage.cluster.formedClusters()
  const memberships = (ledger?.committed ?? []).filter(
    ({ logId, bytes }) => logId.index > before && bytes[4] === 1,
  ).length
  stage.check(memberships === (isSame(given) ? 0 : 2), 'membership', `${memberships} membership entries were written`)
}

/** For several election timeouts and several writes: a removed node never leads and gets no entry, and a kept one gets them all. */
async function checkLeavers(given: MembershipCase, stage: Stage): Promise<void> {
  const target = targetOf(given)
  const leavers = given.from.filter((at) => !target.includes(at)).map((at) => stage.machine(at))
  if (leavers.length === 0) return
  const { electionTimeoutMsMax } = stage.options.node
  stage.cancelOrders()
  // A removed node is told so within an election timeout. A leader that is removed hands over first.
  await stage.waitFor('those who left to be up and not to lead', 20 * electionTimeoutMsMax, () =>
    leavers.every(({ view }) => view !== null && view.state !== 'leader'),
  )
  await stage.sleep(2 * electionTimeoutMsMax)
  const { view } = await stage.waitForLeader()
  for (const { id, name } of leavers) {
    const names = view?.effective.membership.nodes.has(id) ?? false
    stage.check(names === given.retain, 'membership', `${name} is ${names ? 'still' : 'not'} a member`)
  }
  const lasts = new Map(leavers.map((machine) => [machine, lastOf(machine)]))
  const unwatch = stage.watch((machine, step) => {
    const last = lasts.get(machine)
    if (last === undefined) return
    if (step.view.state === 'leader') fail(stage, `${machine.name} leads after it has left`)
    if (!given.retain && indexOf(step.view.last) !== last) fail(stage, `${machine.name} gets entries after its removal`)
  })
  let writer = await stage.write()
  for (let round = 0; round < 2; round++) {
    await stage.sleep(electionTimeoutMsMax)
    writer = await stage.write()
  }
  const written = lastOf(writer)
  if (given.retain)
    await stage.waitFor('who was kept to get what is written', 10 * electionTimeoutMsMax, () =>
      leavers.every((machine) => lastOf(machine) >= written),
    )
  unwatch()
  stage.mark(given.retain ? 'leavers kept' : 'leavers removed')
}

function lastOf(machine: Machine): number {
  return indexOf(machine.view?.last ?? null)
}

/** Called from within a step of a node, which must not see the failure. */
function fail(stage: Stage, what: string): void {
  stage.world.fail(new Violation('membership', what))
}
