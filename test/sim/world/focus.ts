import { BOOT_MS, drawDiscovery, drawManual } from './automation.ts'
import type { Draw } from './draw.ts'
import type { FaultGroup, SimulationOptions } from './options.ts'

/** The cluster forms at once, so that all the time is left for what follows. */
const AT_ONCE: Pick<SimulationOptions, 'formation' | 'bootMs'> = {
  formation: { kind: 'all', spreadMs: 1, crashes: false },
  bootMs: BOOT_MS,
}

/**
 * Most seeds draw every option independently. A few draw a combination that a rare mistake needs to show at all; without them
 * tens of thousands of seeds would be needed. The planted bugs say which combinations these are.
 */
export function focus(options: SimulationOptions, draw: Draw): SimulationOptions {
  if (options.voters < 3) return options
  const mode = draw.integer(0, 10)
  if (mode === 0) return huntLeader(options, draw)
  if (mode === 1) return churn(options, draw)
  if (mode === 2) return rot(options, draw)
  if (mode === 3) return age(options, draw)
  return options
}

const HUNTING: readonly FaultGroup[] = [
  'partitions',
  'one-way',
  'partial',
  'kills',
  'pauses',
  'suspends',
  'stalls',
  'transfers',
  'power',
]

/** Each node that believes that it leads is cut off, stopped or replaced, while clients that know no other node ask it for one key. */
function huntLeader(options: SimulationOptions, draw: Draw): SimulationOptions {
  return {
    ...options,
    ...AT_ONCE,
    automation: drawManual(draw),
    faults: new Set(draw.sample(HUNTING, draw.integer(1, 4))),
    faultEveryMs: 400,
    huntsLeader: true,
    clients: 5,
    thinkMs: 5,
    keys: 1,
    rangeShare: 0,
    keyedShare: 0,
    stickyShare: 1,
    leaseShare: 0.5,
    timeoutMs: draw.pick([40, 300]),
  }
}

const ROTTING: readonly FaultGroup[] = ['one-way', 'partial', 'stalls', 'pauses']

/** The leader's log loses its end while some follower is behind. One vote too many then elects a leader without acknowledged entries. */
function rot(options: SimulationOptions, draw: Draw): SimulationOptions {
  return {
    ...options,
    ...AT_ONCE,
    automation: drawManual(draw),
    faults: new Set<FaultGroup>(['log-damage', 'clogs', draw.pick(ROTTING)]),
    faultEveryMs: 150,
    huntsLeader: true,
    clients: 5,
    thinkMs: 5,
    node: { ...options.node, purgeEveryEntries: 50, keepEntries: 10 },
  }
}

const AGEING: readonly FaultGroup[] = ['pauses', 'suspends', 'clogs', 'stalls', 'partitions', 'one-way', 'partial']

/** Many clients ask nodes that were suspended or cut off for a state of a bounded age. */
function age(options: SimulationOptions, draw: Draw): SimulationOptions {
  return {
    ...options,
    ...AT_ONCE,
    automation: drawManual(draw),
    faults: new Set(draw.sample(AGEING, draw.integer(1, 4))),
    faultEveryMs: 150,
    clients: 6,
    thinkMs: 5,
    keys: 1,
    rangeShare: 0,
    keyedShare: 0,
    stickyShare: 0.5,
    leaseShare: 0.1,
    boundedShare: 0.7,
    timeoutMs: 3_000,
    node: { ...options.node, uncommittedBytesMax: 1_000_000, purgeEveryEntries: 100_000, purgeEveryBytes: 100_000_000 },
  }
}

const CHURNING: readonly FaultGroup[] = [
  'partitions',
  'partial',
  'kills',
  'kill-all',
  'power',
  'pauses',
  'restarts',
  'memberships',
  'snapshot-faults',
]

/** Members lose their data, leave and join. A member that was away for a moment needs a snapshot. */
function churn(options: SimulationOptions, draw: Draw): SimulationOptions {
  const { node } = options
  return {
    ...options,
    spares: draw.integer(0, 3),
    ...AT_ONCE,
    automation: drawManual(draw),
    faults: new Set<FaultGroup>(['memberships', 'wipes', 'duplicates', ...draw.sample(CHURNING, 3)]),
    faultEveryMs: 150,
    membershipEveryMs: draw.pick([150, 300]),
    node: { ...node, purgeEveryEntries: 5, keepEntries: draw.pick([0, 2]), keepBytes: 500, snapshotHoldMs: 100 },
  }
}

/** The topic of a campaign. */
export type Focus = 'discovery'

const FORMING: readonly FaultGroup[] = [
  'loss',
  'delays',
  'resets',
  'lies',
  'partitions',
  'one-way',
  'partial',
  'flapping',
  'clogs',
  'crash-points',
  'kill-all',
  'power',
  'pauses',
  'stalls',
  'restarts',
  'drift',
  'slow-disk',
  'disk-errors',
  'relocations',
]

/** Nodes that find each other form their cluster, and crash again and again meanwhile. Hardly anything else happens. */
export function focusOnDiscovery(options: SimulationOptions, draw: Draw): SimulationOptions {
  const voters = draw.integer(1, 6)
  const spares = draw.integer(0, 7 - voters)
  return {
    ...options,
    voters,
    spares,
    formation: { kind: 'discovered', spreadMs: 0, crashes: true },
    automation: drawDiscovery(draw, voters + spares),
    bootMs: draw.pick([BOOT_MS, 500, 2_000]),
    safetyMs: draw.pick([2_000, 4_000, 8_000]),
    faults: new Set<FaultGroup>(['kills', ...draw.sample(FORMING, draw.integer(1, 6))]),
    faultEveryMs: draw.pick([50, 100, 200]),
    topology: 'whole',
    clients: 1,
    thinkMs: 80,
    rangeShare: 0,
    workMs: 0,
  }
}
