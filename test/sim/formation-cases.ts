import type { Draw } from './draw.ts'
import { memberOf } from './formation.ts'
import type { Machine } from './machine.ts'
import { isQuorum } from './quorum.ts'
import { Stage, type CrashOrder, type SceneOutcome } from './stage.ts'

/** How far an initialiser has come when the next one is called. */
export const phases = ['called', 'appended', 'synced', 'voted', 'elected', 'committed'] as const

export type Phase = (typeof phases)[number]

export interface FormationCase {
  readonly members: number
  /** `phases[i]`: how far initialiser `i` has come when initialiser `i + 1` is called. All are told the same members. */
  readonly phases: readonly Phase[]
  readonly crash: CrashOrder | null
}

const CRASH_MOMENTS = ['write-begin', 'write-end', 'send'] as const
const CRASH_AT_MAX = 5

function crashesOf(machines: number): (CrashOrder | null)[] {
  const crashes: (CrashOrder | null)[] = [null]
  for (let machine = 0; machine < machines; machine++) {
    for (const moment of CRASH_MOMENTS) {
      for (let at = 1; at <= CRASH_AT_MAX; at++) {
        crashes.push({ machine, moment, at, kind: at % 2 === 0 ? 'power' : 'kill' })
      }
    }
  }
  return crashes
}

function phaseLists(length: number): Phase[][] {
  if (length === 0) return [[]]
  return phaseLists(length - 1).flatMap((list) => phases.map((phase) => [...list, phase]))
}

/** Every class of interleavings of one and two initialisers with a crash at every step; of three and five, every class, the crashes in turn. */
export function formationCases(): FormationCase[] {
  const cases: FormationCase[] = []
  for (const members of [1, 2, 3, 5]) {
    for (const crash of crashesOf(1)) cases.push({ members, phases: [], crash })
  }
  for (const members of [2, 3]) {
    for (const list of phaseLists(1)) for (const crash of crashesOf(2)) cases.push({ members, phases: list, crash })
  }
  const three = crashesOf(3)
  for (const list of phaseLists(2)) {
    cases.push({ members: 3, phases: list, crash: null })
    for (let i = 0; i < 4; i++)
      cases.push({ members: 3, phases: list, crash: three[(cases.length * 7) % three.length] ?? null })
  }
  const five = crashesOf(5)
  for (const [at, list] of phaseLists(4).entries()) {
    // All 1296 classes of five are for a long run; one in nine is enough to meet each pair of neighbours many times.
    if (at % 9 === 0) cases.push({ members: 5, phases: list, crash: five[at % five.length] ?? null })
  }
  return cases
}

export function describeCase({ members, phases: list, crash }: FormationCase): string {
  const order = ['first', ...list].join(', then ')
  const death =
    crash === null ? 'no crash' : `node ${crash.machine + 1} dies at ${crash.moment} ${crash.at} (${crash.kind})`
  return `${members} members, ${list.length + 1} initialisers (${order}), ${death}`
}

/** No violation: one healthy cluster came of it. */
export function runFormationCase(
  given: FormationCase,
  seed: number,
  print?: (line: string) => void,
): Promise<SceneOutcome> {
  const stage = new Stage(seed, print === undefined ? { machines: given.members } : { machines: given.members, print })
  return stage.play(async () => {
    stage.startAll()
    await stage.sleep(5)
    if (given.crash !== null) stage.order(given.crash)
    const answers: Promise<string>[] = [stage.initialize(stage.machine(0), stage.machines)]
    for (const [at, phase] of given.phases.entries()) {
      await stage.waitFor(`initialiser ${at + 1} to be ${phase}`, 20_000, () => hasReached(stage.machine(at), phase))
      answers.push(stage.initialize(stage.machine(at + 1), stage.machines))
    }
    await Promise.all(answers)
    await stage.expectOneHealthyCluster()
  })
}

/** `elected` and `committed` are the cluster's: another node may have been faster. */
function hasReached(machine: Machine, phase: Phase): boolean {
  const { view } = machine
  switch (phase) {
    case 'called':
      return true
    case 'appended':
      return view !== null && view.last !== null
    case 'synced':
      return machine.log.durable.lastIndex >= 0
    case 'voted':
      return machine.log.durable.hardState.vote.leaderId.term > 0
    case 'elected':
      return view !== null && view.leader !== null
    case 'committed':
      return view !== null && view.committed >= 0
  }
}

/** Initialisers that were told different members, at nearly the same time. */
export interface DisagreementCase {
  readonly machines: number
  /** Whom each initialiser was told, itself included; and when it is called. */
  readonly told: readonly { readonly initialiser: number; readonly members: readonly number[]; readonly atMs: number }[]
}

export function drawDisagreement(draw: Draw): DisagreementCase {
  const machines = draw.integer(2, 7)
  const all = Array.from({ length: machines }, (_, at) => at)
  const told = draw.sample(all, draw.integer(2, Math.min(machines, 4) + 1)).map((initialiser) => {
    const others = all.filter((at) => at !== initialiser)
    // Mostly nearly everybody: lists that overlap in a majority are the ones that could be taken for each other.
    const count = draw.chance(0.7)
      ? draw.integer(Math.floor(others.length / 2), others.length + 1)
      : draw.integer(0, others.length + 1)
    return {
      initialiser,
      members: [initialiser, ...draw.sample(others, count)],
      atMs: draw.between(0, draw.pick([0.5, 2, 8])),
    }
  })
  return { machines, told }
}

/** No violation: however many clusters came of it, each is sound, and no node is in two. */
export function runDisagreement(
  given: DisagreementCase,
  seed: number,
  print?: (line: string) => void,
): Promise<SceneOutcome> {
  const { machines } = given
  const stage = new Stage(seed, print === undefined ? { machines } : { machines, print })
  return stage.play(async () => {
    stage.startAll()
    await stage.sleep(5)
    for (const { initialiser, members, atMs } of given.told) {
      const machine = stage.machine(initialiser)
      const specs = members.map((at) => memberOf(stage.machine(at)))
      stage.world.after(atMs, () => {
        void stage.ask(machine, ({ cluster }) => cluster.initialize(specs, 'appended', 1_500))
      })
    }
    // Long enough for several elections, and for clients to write to whatever has been formed.
    for (let round = 0; round < 6; round++) {
      await stage.sleep(stage.options.node.electionTimeoutMsMax)
      for (const machine of stage.machines) if (machine.view?.state === 'leader') await stage.writeThrough(machine)
    }
    for (const ledger of stage.cluster.formedClusters()) {
      const members = stage.machines.filter((machine) => machine.clusterId === ledger.clusterId)
      const voters = members.flatMap((machine) => machine.view?.effective.membership.configs.flat() ?? [])
      stage.check(
        isQuorum([...new Set(voters)], (id) => members.some((machine) => machine.id === id)),
        'formation',
        'a cluster commits without a majority of its own',
      )
    }
  })
}
