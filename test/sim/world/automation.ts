import { judges } from '../../../src/node/automation/judges.ts'
import type { AutomationPlan } from '../../../src/ports/automation.ts'
import type { Draw } from './draw.ts'

/** The automation of the nodes of a seed. */
export interface AutomationOptions {
  /** Null: clusters are formed and joined by request. */
  readonly formation: {
    readonly expected: number
    readonly delayMs: number
    readonly autoJoin: boolean
    readonly votersTarget: number
    /** Share of lookups that fail. */
    readonly failureShare: number
  } | null
  readonly autopilot: AutomationPlan['autopilot']
  readonly stabilizationMs: number
}

/** How often nodes look at their members. */
export const LOOK_INTERVAL_MS = 100

/** All machines start within this time, unless the seed says otherwise. */
export const BOOT_MS = 30

function drawAutopilot(draw: Draw, share: number): AutomationPlan['autopilot'] {
  return {
    mode: draw.chance(share) ? draw.pick(['on', 'on', 'dry-run'] as const) : 'off',
    deadNodeAfterMs: draw.pick([500, 2_000]),
    minVoters: draw.pick([1, 3]),
  }
}

/** All nodes have the same command line, and no operator initialises anything. */
export function drawDiscovery(draw: Draw, machines: number): AutomationOptions {
  // With half of the machines or fewer, two parts of a divided network could each form a cluster.
  const expected = draw.integer(Math.floor(machines / 2) + 1, machines + 1)
  return {
    formation: {
      expected,
      delayMs: draw.pick([0, 100, 1_000]),
      autoJoin: draw.chance(0.8),
      votersTarget: draw.chance(0.7) ? expected : draw.integer(1, machines + 1),
      failureShare: draw.pick([0, 0, 0.3]),
    },
    autopilot: drawAutopilot(draw, 0.4),
    stabilizationMs: draw.pick([50, 500]),
  }
}

/** Clusters that are formed by request. At most, dead nodes are replaced automatically. */
export function drawManual(draw: Draw): AutomationOptions {
  return { formation: null, autopilot: drawAutopilot(draw, 0.1), stabilizationMs: 100 }
}

export function planOf(options: AutomationOptions, addresses: () => readonly string[], random: Draw): AutomationPlan {
  const { formation, autopilot, stabilizationMs } = options
  const lookUp = async () =>
    formation !== null && random.chance(formation.failureShare)
      ? { addresses: [], problem: 'the lookup failed' }
      : { addresses: addresses(), problem: null }
  return {
    judges,
    formation: formation === null ? null : { ...formation, discovery: { lookUp } },
    autopilot,
    stabilizationMs,
    intervalMs: LOOK_INTERVAL_MS,
    probeTimeoutMs: 200,
  }
}
