import { coveringSample } from './covering.ts'
import { crashesOf, describeCrash } from './crash-points.ts'
import type { Scene } from './scene.ts'
import type { CrashOrder, Stage } from './stage.ts'

/** Why some members cannot be reached: no power, no process, no link, or a link in one direction only. */
const absences = ['off', 'dead', 'cut', 'deaf', 'mute'] as const

type Absence = (typeof absences)[number]

interface UnreachableCase {
  readonly members: number
  /** The number of members that cannot be reached while the cluster is formed. They are the last ones. */
  readonly away: number
  readonly how: Absence
  /** Whether all reachable members are asked, or only the first. */
  readonly asksAll: boolean
  /** When the unreachable members are asked too: behind their broken links, or after their return. */
  readonly asksAway: 'never' | 'away' | 'back'
  readonly wait: 'appended' | 'leader' | 'committed'
  readonly crash: CrashOrder | null
}

const CRASH_AT_MAX = 5
const WAITS = ['appended', 'leader', 'committed'] as const

function unreachableCases(): UnreachableCase[] {
  const cases: UnreachableCase[] = []
  for (const members of [2, 3, 5]) {
    for (let away = 1; away < members; away++) {
      for (const how of absences) {
        for (const asksAll of [false, true]) {
          for (const asksAway of ['never', 'away', 'back'] as const) {
            if (asksAway === 'away' && isDown(how)) continue
            for (const crash of [null, ...crashesOf([0, members - 1], CRASH_AT_MAX)]) {
              const wait = WAITS[cases.length % WAITS.length] ?? 'appended'
              cases.push({ members, away, how, asksAll, asksAway, wait, crash })
            }
          }
        }
      }
    }
  }
  return cases
}

function isDown(how: Absence): how is 'off' | 'dead' {
  return how === 'off' || how === 'dead'
}

function describeCase({ members, away, how, asksAll, asksAway, wait, crash }: UnreachableCase): string {
  return (
    `unreachable: ${members} members, the last ${away} ${how}, ${asksAll ? 'all others' : 'one'} asked to wait until ${wait}, ` +
    `those away asked: ${asksAway}, ${describeCrash(crash)}`
  )
}

export function unreachableScenes(): Scene[] {
  const cases = unreachableCases()
  const sample = coveringSample(cases, ({ members, away, how, asksAll, asksAway, wait, crash }) => [
    `${members} ${away} ${how} ${asksAway}`,
    `${how} ${asksAll} ${wait}`,
    `${isDown(how)} ${crash?.machine === 0} ${crash?.moment} ${crash?.at}`,
    `${members} ${away} ${crash === null}`,
  ])
  const sampled = new Set(sample.map(describeCase))
  return cases.map((given) => {
    const name = describeCase(given)
    const play = (stage: Stage): Promise<void> => playUnreachable(given, stage)
    return { name, isSampled: sampled.has(name), machines: given.members, play }
  })
}

/** With a majority the cluster works at once. Without one it waits, and forgets nothing. When all members are back, it is complete. */
async function playUnreachable(given: UnreachableCase, stage: Stage): Promise<void> {
  const here = stage.machines.slice(0, given.members - given.away)
  const away = stage.machines.slice(given.members - given.away)
  stage.startAll()
  await stage.sleep(5)
  leave(given, stage)
  if (given.crash !== null) stage.order(given.crash)
  const asked = given.asksAll ? here : here.slice(0, 1)
  const ask = { wait: given.wait }
  const answers = asked.map((machine) => stage.initialize(machine, stage.machines, ask))
  const awayAnswers =
    given.asksAway === 'away' ? away.map((machine) => stage.initialize(machine, stage.machines, ask)) : []
  // An answer takes as long as the unanswered probes and the wait that is in vain.
  for (const code of await Promise.all(answers)) stage.mark(code)
  const isEnough = (count: number): boolean => count * 2 > given.members
  if (isEnough(here.length)) {
    await stage.write()
    stage.mark('formed without them')
  } else if (!isEnough(away.length) || given.asksAway !== 'away') {
    await stage.sleep(4 * stage.options.node.electionTimeoutMsMax)
    // One-way links do not split a cluster: hearing the others may be enough to vote, but never to commit.
    stage.check(stage.cluster.formedClusters().length === 0, 'formation', 'a minority has committed something')
    stage.mark('waited for them')
  } else {
    await stage.waitFor('the others to do without', 20 * stage.options.node.electionTimeoutMsMax, () => {
      return stage.cluster.formedClusters().length > 0
    })
    stage.mark('formed without this side')
  }
  stage.heal()
  for (const machine of away) if (isDown(given.how)) stage.bringBack(machine)
  if (given.asksAway === 'back')
    awayAnswers.push(...away.map((machine) => stage.initialize(machine, stage.machines, ask)))
  await Promise.all(awayAnswers)
  await stage.expectOneHealthyCluster()
}

function leave({ members, away, how }: UnreachableCase, stage: Stage): void {
  const { links } = stage.cluster.network
  const isAway = (at: number): boolean => at >= members - away
  for (const [at, machine] of stage.machines.entries()) {
    if (!isAway(at)) continue
    if (isDown(how)) stage.takeDown(machine, how === 'off' ? 'power' : 'kill')
    else {
      for (const other of stage.machines.filter((_, otherAt) => !isAway(otherAt))) {
        if (how !== 'mute') links.cut(other.id, machine.id)
        if (how !== 'deaf') links.cut(machine.id, other.id)
      }
    }
  }
}
