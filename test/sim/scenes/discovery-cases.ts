import type { AutomationOptions } from '../world/automation.ts'
import type { CrashMoment } from '../machines/machine.ts'
import type { Scene } from './scene.ts'
import type { CrashOrder, Stage } from './stage.ts'

/** Four nodes with one command line, three of which form the cluster. One node crashes at each step, and others may crash with it. */
interface DiscoveryCase {
  readonly crash: CrashOrder
  /** Machines that crash together with the first one and lose everything that was only in memory. */
  readonly also: readonly number[]
  /** The first one stays away so long that the others would go on without it. */
  readonly staysAway: boolean
}

const MACHINES = 4
/** Moments of a crash, and at how many occurrences of each. A node gives only one pledge. */
const MOMENTS: readonly (readonly [CrashMoment, number])[] = [
  ['pledge-begin', 1],
  ['pledge-end', 1],
  ['write-begin', 3],
  ['write-end', 3],
  ['send', 3],
]
/** Some moments do not occur that often on every machine. */
const CRASH_WITHIN_MS = 4_000
const AWAY_MS = 5_000

const automation: AutomationOptions = {
  formation: { expected: 3, delayMs: 100, autoJoin: true, votersTarget: 3, failureShare: 0 },
  autopilot: { mode: 'off', deadNodeAfterMs: 0, minVoters: 3 },
  stabilizationMs: 50,
}

function discoveryCases(): DiscoveryCase[] {
  const cases: DiscoveryCase[] = []
  for (const machine of [0, 1, 2]) {
    for (const [moment, atMax] of MOMENTS) {
      for (let at = 1; at <= atMax; at++) {
        const kind = (machine + at) % 2 === 0 ? 'power' : 'kill'
        for (const also of [[], [(machine + 1) % 3, (machine + 2) % 3], [3]]) {
          for (const staysAway of [false, true]) cases.push({ crash: { machine, moment, at, kind }, also, staysAway })
        }
      }
    }
  }
  return cases
}

export function discoveryScenes(): Scene[] {
  return discoveryCases().map((given, i) => {
    const { crash, also, staysAway } = given
    const other = also.length === 0 ? '' : `, with it ${also.join()}`
    return {
      name: `discovery: ${crash.machine} dies at ${crash.moment} ${crash.at} (${crash.kind})${staysAway ? ' for long' : ''}${other}`,
      isSampled: i % 3 !== 0 || also.length > 1,
      machines: MACHINES,
      automation,
      play: (stage) => playDiscovery(given, stage),
    }
  })
}

/** One healthy cluster with one list results, whoever starts it, and no node stays bound to another one. */
async function playDiscovery({ crash, also, staysAway }: DiscoveryCase, stage: Stage): Promise<void> {
  const victim = stage.machine(crash.machine)
  stage.order(crash)
  stage.startAll()
  await stage.waitForOr(CRASH_WITHIN_MS, () => stage.hasCrashed)
  if (stage.hasCrashed) {
    stage.mark(`dies at ${crash.moment}`)
    if (staysAway) stage.takeDown(victim, 'kill')
    for (const at of also) stage.takeDown(stage.machine(at), 'kill')
    await stage.sleep(20)
    for (const at of also) stage.bringBack(stage.machine(at))
    if (staysAway) {
      await stage.sleep(AWAY_MS)
      stage.mark(stage.cluster.formedClusters().length > 0 ? 'formed without it' : 'waited for it')
      stage.bringBack(victim)
    }
  }
  await stage.expectOneHealthyCluster()
  const begun = new Set(stage.machines.map(({ clusterId }) => clusterId).filter((clusterId) => clusterId !== ''))
  stage.check(begun.size === 1, 'formation', `clusters were begun of several lists: ${[...begun].join(' ')}`)
}
