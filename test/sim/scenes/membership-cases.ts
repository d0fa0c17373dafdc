import { coveringSample } from './covering.ts'
import { crashesOf, describeCrash } from './crash-points.ts'
import type { CrashOrder } from './stage.ts'

type VoterList = { readonly voters: readonly number[] }
type VoterDelta = { readonly add: readonly number[]; readonly remove: readonly number[] }

/** A change of voters. Machines are counted from 0. */
export interface Transition {
  readonly from: readonly number[]
  readonly change: VoterList | VoterDelta
  /** The expected error code; absent when the change succeeds. */
  readonly refusal?: 'unknown-voter' | 'empty-membership'
}

/** The progress of the change: in a leader's log, or committed, on any machine. */
export const steps = ['asked', 'joint', 'joint committed', 'final', 'final committed'] as const

export type Step = (typeof steps)[number]

export interface MembershipCase extends Transition {
  readonly retain: boolean
  /** From this step on, the crash is counted and the links are cut. `joining`: before the new voters are added as learners. */
  readonly at: 'joining' | Step
  readonly crash: CrashOrder | null
  /** Machines that are cut off from all others until the change has ended or timed out. */
  readonly isolated: readonly number[]
}

/**
 * All transitions that openraft tests (its membership table, t21, and t30), and some more. Two have another outcome: openraft
 * ignores a voter to be removed that is not one; here the request is refused and nothing changes.
 */
const transitions: readonly Transition[] = [
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
  { from: [0, 1, 2], change: { add: [], remove: [3] }, refusal: 'unknown-voter' },
  { from: [0, 1, 2], change: { add: [], remove: [] } },
  { from: [0, 1, 2], change: { add: [], remove: [1, 3] }, refusal: 'unknown-voter' },
  { from: [0], change: { voters: [0, 1, 2] } },
  { from: [0, 1, 2], change: { voters: [2, 3, 4] } },
  { from: [0, 1, 2], change: { voters: [1, 3] } },
  { from: [0, 1, 2], change: { voters: [] }, refusal: 'empty-membership' },
  { from: [0, 1, 2], change: { add: [], remove: [0, 1, 2] }, refusal: 'empty-membership' },
  { from: [0, 1, 2], change: { add: [], remove: [2] } },
  { from: [0, 1, 2], change: { add: [3], remove: [0] } },
  { from: [0, 1, 2], change: { voters: [0, 1, 2] } },
]

const CRASH_AT_MAX = 6
const CRASH_AT_MAX_WHEN_SPLIT = 2

/** The voters that `change` asks for; the old voters when it is refused. */
export function targetOf({ from, change, refusal }: Transition): number[] {
  if (refusal !== undefined) return [...from]
  if ('voters' in change) return [...change.voters]
  return [...new Set([...from, ...change.add])].filter((one) => !change.remove.includes(one)).sort((a, b) => a - b)
}

export function joinersOf(transition: Transition): number[] {
  return targetOf(transition).filter((one) => !transition.from.includes(one))
}

export function isSame(transition: Transition): boolean {
  return targetOf(transition).join() === transition.from.join()
}

/** All voters before or after the change. */
function partiesOf(transition: Transition): number[] {
  return [...transition.from, ...joinersOf(transition)]
}

/**
 * Every transition, with the leaving voters dropped or kept as learners; with a crash of each old and each new voter at each
 * step, for the new ones also while they join; and, where the transition changes anything, with the voters split in two at each
 * step, with and without a crash on either side.
 */
export function membershipCases(): MembershipCase[] {
  return transitions.flatMap((transition) => [
    ...[false, true].map((retain) => makeCase(transition, { retain })),
    ...crashCases(transition),
    ...(isSame(transition) ? [] : splitCases(transition)),
  ])
}

function makeCase(
  transition: Transition,
  rest: Partial<Pick<MembershipCase, 'at' | 'crash' | 'isolated' | 'retain'>>,
): MembershipCase {
  return { ...transition, retain: false, at: 'asked', crash: null, isolated: [], ...rest }
}

function crashCases(transition: Transition): MembershipCase[] {
  const crashes = crashesOf(partiesOf(transition), CRASH_AT_MAX)
  const joining = crashesOf(joinersOf(transition), CRASH_AT_MAX)
  return [
    ...crashes.map((crash) => makeCase(transition, { crash, retain: crash.at % 3 === 0 })),
    ...joining.map((crash) => makeCase(transition, { crash, at: 'joining' })),
  ]
}

function splitCases(transition: Transition): MembershipCase[] {
  const crashes = [null, ...crashesOf(partiesOf(transition), CRASH_AT_MAX_WHEN_SPLIT)]
  return steps.flatMap((at) =>
    splitsOf(transition).flatMap((isolated) =>
      crashes.map((crash, i) => makeCase(transition, { at, isolated, crash, retain: i % 4 === 3 })),
    ),
  )
}

/** Every split of up to four machines in two. Of more machines: each one alone, one half, and the groups that the change makes. */
function splitsOf(transition: Transition): number[][] {
  const parties = partiesOf(transition)
  const target = targetOf(transition)
  const { from } = transition
  const isFew = parties.length <= 4
  const sides = isFew
    ? subsetsOf(parties)
    : [
        ...parties.map((one) => [one]),
        parties.filter((_, at) => at % 2 === 0),
        [...from],
        target,
        from.filter((one) => target.includes(one)),
        // openraft's t30: only one of the new voters can be reached.
        joinersOf(transition).slice(-2),
      ]
  const splits = new Map<string, number[]>()
  for (const side of sides) {
    // A split is described by the side without the first machine.
    const isolated = side.includes(parties[0] ?? 0) ? parties.filter((one) => !side.includes(one)) : side
    if (isolated.length > 0) splits.set(isolated.join(), isolated)
  }
  return [...splits.values()]
}

function subsetsOf(items: readonly number[]): number[][] {
  return items.reduce<number[][]>((sets, item) => [...sets, ...sets.map((set) => [...set, item])], [[]])
}

/**
 * Every transition undisturbed, and every split of each. Of the crashes: every machine of each transition at every moment,
 * early and late. Of splits with crashes: either side of every split of each transition, at every step; and, over all
 * transitions, every crash at every step, on either side, of a voter that stays, leaves or joins.
 */
export function membershipSample(): MembershipCase[] {
  const cases = membershipCases()
  const calm = cases.filter(({ crash, isolated }) => crash === null && isolated.length === 0)
  const crashed = cases.filter(({ crash, isolated }) => crash !== null && isolated.length === 0)
  const split = cases.filter(({ isolated }) => isolated.length > 0)
  return [
    ...calm,
    ...coveringSample(crashed, (one) => [
      `${describeTransition(one)} ${one.at} ${one.crash?.machine} ${one.crash?.moment}`,
      `${describeTransition(one)} ${one.crash?.moment} ${one.crash?.at}`,
      `${one.at} ${roleOf(one, one.crash?.machine)} ${one.crash?.moment} ${one.crash?.at}`,
    ]),
    ...coveringSample(split, (one) => {
      const { crash, isolated, at } = one
      const transition = describeTransition(one)
      // When the split precedes the request, the outcome of the change is known, so all of these are played.
      if (crash === null) return [`${transition} ${at} ${at === 'asked' ? isolated.join() : 'whole'}`]
      const side = isolated.includes(crash.machine) ? 'isolated' : 'rest'
      return [
        `${transition} ${at} ${side}`,
        `${transition} ${isolated.join()} ${side}`,
        `${at} ${side} ${roleOf(one, crash.machine)} ${crash.moment} ${crash.at}`,
      ]
    }),
  ]
}

function roleOf(transition: Transition, machine: number | undefined): string {
  if (machine === undefined) return 'nobody'
  if (!transition.from.includes(machine)) return 'joins'
  return targetOf(transition).includes(machine) ? 'stays' : 'leaves'
}

function describeTransition({ from, change }: Transition): string {
  if ('voters' in change) return `[${from.join()}] to [${change.voters.join()}]`
  return `[${from.join()}] with [${change.add.join()}] without [${change.remove.join()}]`
}

export function describeMembershipCase(given: MembershipCase): string {
  const { retain, at, crash, isolated } = given
  const cut = isolated.length === 0 ? '' : `, [${isolated.join()}] cut off`
  const since = crash === null && isolated.length === 0 ? '' : `, from ${at} on`
  return `membership: ${describeTransition(given)}${retain ? ' retained' : ''}${since}${cut}, ${describeCrash(crash)}`
}
