import { describeCrash } from './crash-points.ts'
import { Draw } from '../world/draw.ts'
import { isQuorum } from '../machines/quorum.ts'
import type { Scene } from './scene.ts'
import type { CrashOrder, Stage } from './stage.ts'

/** Initialisers that are told different members at nearly the same time. */
interface DisagreementCase {
  readonly machines: number
  /** The members that each initialiser is told, itself included, and the time of its call. */
  readonly told: readonly { readonly initialiser: number; readonly members: readonly number[]; readonly atMs: number }[]
  readonly crashes: readonly CrashOrder[]
}

/** Codes that say that another cluster is there to stay, so a start script gives up. */
const SETTLED = ['peer-disagrees', 'member-mismatch']
const ATTEMPTS_MAX = 4
const CRASH_AT_MAX = 8
const SAMPLED = 400
const CASES = 5_000

function drawDisagreement(draw: Draw): DisagreementCase {
  const machines = draw.integer(2, 7)
  const all = Array.from({ length: machines }, (_, at) => at)
  const told = draw.sample(all, draw.integer(2, Math.min(machines, 4) + 1)).map((initialiser) => {
    const others = all.filter((at) => at !== initialiser)
    // Most lists name nearly all machines: lists that share a majority are the ones that might be confused.
    const count = draw.chance(0.7)
      ? draw.integer(Math.floor(others.length / 2), others.length + 1)
      : draw.integer(0, others.length + 1)
    return {
      initialiser,
      members: [initialiser, ...draw.sample(others, count)],
      atMs: draw.between(0, draw.pick([0.5, 2, 8])),
    }
  })
  const crashes = draw.sample(all, draw.pick([0, 1, 1, 2])).map((machine) => drawCrash(machine, draw))
  return { machines, told, crashes }
}

function drawCrash(machine: number, draw: Draw): CrashOrder {
  return {
    machine,
    moment: draw.pick(['write-begin', 'write-end', 'send'] as const),
    at: draw.integer(1, CRASH_AT_MAX + 1),
    kind: draw.pick(['kill', 'power'] as const),
  }
}

export function disagreementScenes(): Scene[] {
  const draw = new Draw(1)
  return Array.from({ length: CASES }, (_, i) => {
    const given = drawDisagreement(draw)
    return {
      name: `disagreement ${i + 1}: ${describeCase(given)}`,
      isSampled: i < SAMPLED,
      machines: given.machines,
      play: (stage) => playDisagreement(given, stage),
    }
  })
}

function describeCase({ machines, told, crashes }: DisagreementCase): string {
  const lists = told.map(
    ({ initialiser, members, atMs }) => `${initialiser} is told [${members.join()}] at ${atMs.toFixed(2)} ms`,
  )
  return [`${machines} machines`, ...lists, ...crashes.map(describeCrash)].join(', ')
}

/** However many clusters are formed, each is sound and works, and no node belongs to two. */
async function playDisagreement(given: DisagreementCase, stage: Stage): Promise<void> {
  stage.startAll()
  await stage.sleep(5)
  for (const crash of given.crashes) stage.order(crash)
  for (const { initialiser, members, atMs } of given.told) {
    const specs = members.map((at) => stage.machine(at))
    stage.world.after(atMs, () => {
      void stage
        .initialize(stage.machine(initialiser), specs, { settled: SETTLED, attemptsMax: ATTEMPTS_MAX })
        .then((code) => stage.mark(code))
    })
  }
  // Long enough for several elections, and for clients to write to every cluster that was formed.
  for (let round = 0; round < 6; round++) {
    await stage.sleep(stage.options.node.electionTimeoutMsMax)
    for (const machine of stage.machines) if (machine.view?.state === 'leader') await stage.writeThrough(machine)
  }
  stage.cancelOrders()
  await stage.waitFor('everybody to be up', 500, () => stage.machines.every(({ view }) => view !== null))
  checkMajorities(stage)
  const formed = stage.cluster.formedClusters()
  stage.mark(formed.length === 1 ? '1 cluster' : `${formed.length} clusters`)
  for (const ledger of formed) {
    stage.check(stage.liveness.isExpected(ledger), 'formation', 'a cluster that has committed has lost its majority')
    await stage.liveness.run(ledger)
    await stage.liveness.expectConvergence(ledger)
  }
}

/** Every node that committed anything did so with a majority of the voters of its own membership. */
function checkMajorities(stage: Stage): void {
  for (const ledger of stage.cluster.formedClusters()) {
    const members = stage.machines.filter((machine) => machine.clusterId === ledger.clusterId)
    const voters = members.flatMap((machine) => machine.view?.effective.membership.configs.flat() ?? [])
    stage.check(
      isQuorum([...new Set(voters)], (id) => members.some((machine) => machine.id === id)),
      'formation',
      'a cluster commits without a majority of its own',
    )
  }
}
