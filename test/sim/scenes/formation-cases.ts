import { coveringSample } from './covering.ts'
import { crashesOf, describeCrash } from './crash-points.ts'
import type { Machine } from '../machines/machine.ts'
import type { Scene } from './scene.ts'
import type { CrashOrder, Stage } from './stage.ts'

/** The progress of an initialiser when the next one is called. */
export const phases = ['called', 'appended', 'synced', 'voted', 'elected', 'committed'] as const

export type Phase = (typeof phases)[number]

export interface FormationCase {
  readonly members: number
  /** `phases[i]`: the progress of initialiser `i` when initialiser `i + 1` is called. All are told the same members. */
  readonly phases: readonly Phase[]
  readonly crash: CrashOrder | null
}

const CRASH_AT_MAX = 5

/**
 * Every class of interleavings of one, two, three and five initialisers: without a crash, and with a crash of each of them at
 * each step. The classes of five are many, so each of them gets some of the crashes in turn.
 */
export function formationCases(): FormationCase[] {
  const cases: FormationCase[] = []
  for (const members of [1, 2, 3, 5]) cases.push(...withCrashes(members, []))
  for (const members of [2, 3]) for (const list of phaseLists(1)) cases.push(...withCrashes(members, list))
  for (const list of phaseLists(2)) cases.push(...withCrashes(3, list))
  const five = crashesAmong(5)
  for (const [at, list] of phaseLists(4).entries()) {
    cases.push({ members: 5, phases: list, crash: null })
    // The 75 crashes repeat with every 25th class and the phases with every 6th, so each phase meets each crash.
    for (let i = 0; i < 3; i++)
      cases.push({ members: 5, phases: list, crash: five[(at * 3 + i) % five.length] ?? null })
  }
  return cases
}

function withCrashes(members: number, list: readonly Phase[]): FormationCase[] {
  const crashes = [null, ...crashesAmong(list.length + 1)]
  return crashes.map((crash) => ({ members, phases: list, crash }))
}

function crashesAmong(initialisers: number): CrashOrder[] {
  return crashesOf(
    Array.from({ length: initialisers }, (_, at) => at),
    CRASH_AT_MAX,
  )
}

function phaseLists(length: number): Phase[][] {
  if (length === 0) return [[]]
  return phaseLists(length - 1).flatMap((list) => phases.map((phase) => [...list, phase]))
}

/**
 * All cases of one and two initialisers. Of three and five, enough to meet every pair of phases at every pair of places, every
 * crash, and for three every crash together with every phase.
 */
export function formationSample(): FormationCase[] {
  const cases = formationCases()
  const initialisers = (count: number): FormationCase[] => cases.filter((one) => one.phases.length + 1 === count)
  return [
    ...initialisers(1),
    ...initialisers(2),
    ...coveringSample(initialisers(3), (one) => [...phasePairs(one.phases), ...phasesWithCrash(one)]),
    ...coveringSample(initialisers(5), (one) => [...phasePairs(one.phases), describeCrash(one.crash)]),
  ]
}

/** Every pair of phases in `list`, with their places. */
export function phasePairs(list: readonly Phase[]): string[] {
  return list.flatMap((phase, at) => list.slice(at + 1).map((later, i) => `${at} ${phase}, ${at + 1 + i} ${later}`))
}

function phasesWithCrash({ phases: list, crash }: FormationCase): string[] {
  return list.map((phase, at) => `${at} ${phase}, ${describeCrash(crash)}`)
}

function describeCase({ members, phases: list, crash }: FormationCase): string {
  const order = ['first', ...list].join(', then ')
  return `formation: ${members} members, ${list.length + 1} initialisers (${order}), ${describeCrash(crash)}`
}

export function formationScenes(): Scene[] {
  const sampled = new Set(formationSample().map(describeCase))
  return formationCases().map((given) => {
    const name = describeCase(given)
    const play = (stage: Stage): Promise<void> => playFormation(given, stage)
    return { name, isSampled: sampled.has(name), machines: given.members, play }
  })
}

/** One healthy cluster results. */
async function playFormation(given: FormationCase, stage: Stage): Promise<void> {
  stage.startAll()
  await stage.sleep(5)
  if (given.crash !== null) stage.order(given.crash)
  const answers: Promise<string>[] = [stage.initialize(stage.machine(0), stage.machines)]
  for (const [at, phase] of given.phases.entries()) {
    const before = stage.machine(at)
    await stage.waitFor(`${before.name} to be ${phase}`, 20_000, () => hasReached(before, phase), 0.05)
    const onCalled = (): void => stage.mark(`${at} is ${phaseOf(before)}`)
    answers.push(stage.initialize(stage.machine(at + 1), stage.machines, { onCalled }))
  }
  await Promise.all(answers)
  await stage.expectOneHealthyCluster()
}

function hasReached(machine: Machine, phase: Phase): boolean {
  return phases.indexOf(phaseOf(machine)) >= phases.indexOf(phase)
}

/** `elected` and `committed` are phases of the whole cluster: another node may have been faster. */
function phaseOf({ view, log }: Machine): Phase {
  if (view !== null && view.committed >= 0) return 'committed'
  if (view !== null && view.leader !== null) return 'elected'
  if (log.durable.hardState.vote.leaderId.term > 0) return 'voted'
  if (log.durable.lastIndex >= 0) return 'synced'
  return view !== null && view.last !== null ? 'appended' : 'called'
}
