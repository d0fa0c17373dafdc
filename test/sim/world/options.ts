import type { NodeOptions } from '../../../src/node/options.ts'
import type { Draw } from './draw.ts'
import { BOOT_MS, drawDiscovery, drawManual, type AutomationOptions } from './automation.ts'
import { focus, focusOnDiscovery, type Focus } from './focus.ts'
import { withWindowForLoad } from './load.ts'

/** The groups of faults that a seed turns on or off independently, so that rare combinations occur. */
export const faultGroups = [
  'loss',
  'duplicates',
  'reordering',
  'delays',
  'resets',
  'lies',
  'partitions',
  'one-way',
  'partial',
  'flapping',
  'clogs',
  'kills',
  'crash-points',
  'kill-all',
  'power',
  'pauses',
  'stalls',
  'restarts',
  'drift',
  'jumps',
  'suspends',
  'slow-disk',
  'disk-errors',
  'disk-full',
  'log-damage',
  'vote-damage',
  'state-damage',
  'wipes',
  'memberships',
  'transfers',
  'snapshot-faults',
  'relocations',
] as const

/** Drawn apart from those above, so that seeds without it play as they did. */
export type FaultGroup = (typeof faultGroups)[number] | 'freezes'

/** Which nodes are asked to `initialize`, and with which members. */
export type FormationKind =
  | 'one'
  | 'some'
  | 'all'
  | 'different-overlapping'
  | 'different-disjoint'
  | 'unreachable-peer'
  | 'after-vote'
  /** The nodes find each other and form the cluster on their own. */
  | 'discovered'

export interface FormationPlan {
  readonly kind: FormationKind
  /** All calls start within this time. */
  readonly spreadMs: number
  /** Initialisers crash at random moments. */
  readonly crashes: boolean
}

/** A fault that persists while the cluster must work nevertheless. */
export type LivenessTopology = 'whole' | 'dead-voter' | 'partial' | 'bridge' | 'one-way' | 'flapping' | 'slow-disk'

/** When machines are upgraded, one after the other. */
export interface UpgradePlan {
  readonly fromMs: number
  readonly spreadMs: number
}

/** When the first token is made, and how often roles and tokens change from then on. */
export interface AuthPlan {
  readonly fromMs: number
  readonly changeEveryMs: number
  /** Share of tokens that come to an end by themselves. */
  readonly expiringShare: number
}

export interface SimulationOptions {
  readonly seed: number
  readonly voters: number
  /** Machines that are up and without data, to be added later. */
  readonly spares: number
  readonly safetyMs: number
  readonly faults: ReadonlySet<FaultGroup>
  /** Mean time between two faults. */
  readonly faultEveryMs: number
  readonly formation: FormationPlan
  readonly automation: AutomationOptions
  /** All machines are started within this time. */
  readonly bootMs: number
  readonly topology: LivenessTopology
  readonly usesCodec: boolean
  /** All faults hit the leader, while many clients read and write one key. Every node that believes that it leads is asked at once. */
  readonly huntsLeader: boolean
  readonly clients: number
  readonly thinkMs: number
  readonly keys: number
  /** Share of requests that read or remove a whole range. */
  readonly rangeShare: number
  readonly keyedShare: number
  /** Share of requests that send an answered write again, under its name. */
  readonly repeatShare: number
  /** Share of writes that are transactions. */
  readonly transactionShare: number
  /** Share of writes that compact history or change how much of it is kept. */
  readonly upkeepShare: number
  /** Share of reads that ask for an earlier revision. */
  readonly pastShare: number
  /** Clients that watch. */
  readonly watchers: number
  /** Clients that use leases and locks. */
  readonly leaseClients: number
  /** Clients that import records. */
  readonly importers: number
  /** Clients that look at the versions of keys, and at leases. */
  readonly viewers: number
  /** Clients that look at single leases, at locks, and at how much history is kept. */
  readonly inspectors: number
  /** Share of clients that speak to one node only for their whole life. */
  readonly stickyShare: number
  /** Share of reads that trust a lease. */
  readonly leaseShare: number
  /** Share of reads that accept a state of a bounded age. */
  readonly boundedShare: number
  /** Some machines know no feature level at first, and are restarted with a newer build; null: all know the same. */
  readonly upgrade: UpgradePlan | null
  /** Null: there are no tokens in this run. */
  readonly auth: AuthPlan | null
  readonly timeoutMs: number
  readonly membershipEveryMs: number
  readonly writeMs: number
  readonly delayMs: number
  readonly workMs: number
  readonly turnMs: number
  readonly cachedProbability: number
  readonly node: Omit<NodeOptions, 'id' | 'addresses' | 'incarnation'>
}

/**
 * From this seed on nodes know feature level 1, and clients use what it brings: transactions, history. The nodes of lower seeds know level 0, so
 * that those seeds play as they did, and those that found something still do.
 */
export const LEVEL_1_FROM = 7_000_000_000

/** From this seed on clients send writes again that were answered long ago. Lower seeds play as they did. */
export const REPEATS_FROM = 12_000_000_000

/** From this seed on there are tokens in some runs. Lower seeds play as they did. */
export const AUTH_FROM = 16_000_000_000

/** From this seed on some clients import records, and some look at versions and at leases. Lower seeds play as they did. */
export const IMPORTS_FROM = 25_000_000_000

/** From this seed on some clients look at single leases, at locks, and at how much history is kept. Lower seeds play as they did. */
export const INSPECTIONS_FROM = 40_000_000_000

/** The longest lease that clients ask for, and the longest wait for a lock. */
export const LEASE_TTL_MS_MAX = 3_000
export const LOCK_WAIT_MS_MAX = 4_000

/**
 * Limits that refuse nothing, for seeds without faults. A node that is sent the state instead of the log cannot tell the
 * outcome of its pending writes, so no node may fall behind that far.
 */
const ROOMY: Partial<SimulationOptions['node']> = {
  uncommittedBytesMax: 1_000_000,
  purgeEveryEntries: 100_000,
  purgeEveryBytes: 100_000_000,
  forwardedBatchesMax: 4096,
  forwardedOriginsMax: 128,
}

function drawNode(draw: Draw): SimulationOptions['node'] {
  const heartbeatMs = draw.pick([15, 25, 50])
  const electionTimeoutMsMin = heartbeatMs * draw.pick([4, 6, 10])
  return {
    version: '0.0.0',
    clusterToken: draw.pick(['', 'blue']),
    heartbeatMs,
    electionTimeoutMsMin,
    electionTimeoutMsMax: electionTimeoutMsMin * 2,
    appendBytesMax: draw.pick([200, 2000, 100_000]),
    appendEntriesMax: draw.pick([1, 2, 4, 64]),
    inflightAppendsMax: draw.pick([1, 2, 8]),
    inflightBytesMax: draw.pick([400, 10_000, 1_000_000]),
    transferBytesPerMsMin: 1_000,
    uncommittedBytesMax: draw.pick([1000, 20_000, 1_000_000]),
    batchEntriesMax: draw.pick([1, 2, 4, 100]),
    batchBytesMax: draw.pick([150, 2000, 100_000]),
    caughtUpEntriesMax: draw.pick([0, 3, 20]),
    purgeEveryEntries: draw.pick([5, 20, 50, 100_000]),
    purgeEveryBytes: draw.pick([2000, 100_000_000]),
    keepEntries: draw.pick([0, 2, 10]),
    keepBytes: draw.pick([500, 1_000_000]),
    snapshotHoldMs: draw.pick([100, 1000]),
    snapshotHoldBytes: 64 * 1024,
    snapshotBytesPerSecondMax: draw.pick([50_000, 10_000_000]),
    snapshotChunkBytes: draw.pick([60, 400, 100_000]),
    historyRetention: { revisions: 30, ageMs: 2_000, bytes: 4_000 },
    recordCacheBytesMax: draw.pick([400, 100_000]),
    // One row in each call: reads wait for those before them.
    rowsReadMax: 4,
    idempotentWritesMax: draw.pick([8, 1000]),
    keptValues: draw.pick([
      { inlineBytesMax: 0, rings: [{ valueBytesMax: 100, slots: 1 }] },
      {
        inlineBytesMax: 4,
        rings: [
          { valueBytesMax: 5, slots: 1 },
          { valueBytesMax: 1000, slots: 2 },
        ],
      },
      { inlineBytesMax: 1000, rings: [] },
    ]),
    rangeDeleteKeysMax: draw.pick([1, 2, 4, 1000]),
    transaction: { readBytesMax: 500, listBytesMax: 100 },
    history: { rangeBytesMax: 200, stepRevisionsMax: 3, stepRecordsMax: 4, stepBytesMax: 200 },
    leases: { leasesMax: 20, attachedKeysMax: 30, endKeysMax: 3, endBytesMax: 200 },
    forwardedBatchesMax: draw.pick([1, 8, 4096]),
    forwardedOriginsMax: draw.pick([1, 2, 128]),
  }
}

const PLENTY = 1_000_000_000

/** So little history that it is removed all the time, or nearly all that there is, or none at first. */
function withHistory(node: SimulationOptions['node'], draw: Draw): SimulationOptions['node'] {
  return {
    ...node,
    // History makes states larger: they still have to arrive within the time that convergence may take.
    snapshotChunkBytes: Math.max(node.snapshotChunkBytes, 400),
    historyRetention: draw.pick([
      { revisions: 30, ageMs: 2_000, bytes: 4_000 },
      { revisions: 5, ageMs: 500, bytes: PLENTY },
      { revisions: 300, ageMs: PLENTY, bytes: 30_000 },
      { revisions: 0, ageMs: PLENTY, bytes: PLENTY },
    ]),
    // So few changes in memory that watchers go back to the disk all the time.
    watchRecentEntriesMax: draw.pick([1, 4, 30, 1_000]),
    watchRecentBytesMax: draw.pick([200, 2_000, 1_000_000]),
    history: {
      rangeBytesMax: draw.pick([60, 200, PLENTY]),
      stepRevisionsMax: draw.pick([1, 3, 100]),
      stepRecordsMax: draw.pick([2, 4, 100]),
      stepBytesMax: draw.pick([60, 200, 10_000]),
    },
    // So few that they are used up, and that a lease ends in several entries.
    leases: {
      leasesMax: draw.pick([4, 20, 1_000]),
      attachedKeysMax: draw.pick([3, 30, 1_000]),
      endKeysMax: draw.pick([1, 2, 100]),
      endBytesMax: draw.pick([60, 200, PLENTY]),
    },
  }
}

/** By the remainder of the seed divided by 11: those of no seed that once found something, so that these play as they did. */
const NARROW_ADMISSIONS: Readonly<Record<number, Pick<SimulationOptions['node'], 'writesFewMax' | 'writeWaitMsMax'>>> =
  {
    7: { writesFewMax: 1, writeWaitMsMax: 2 },
    8: { writesFewMax: 1, writeWaitMsMax: 20 },
    9: { writesFewMax: 2, writeWaitMsMax: 2 },
    10: { writesFewMax: 2, writeWaitMsMax: 20 },
  }

/** In some seeds, nodes refuse writes as soon as a few wait for a short time. It follows from the seed alone, so that all others stay as they are. */
function withAdmission(node: SimulationOptions['node'], seed: number): SimulationOptions['node'] {
  return { ...node, ...NARROW_ADMISSIONS[seed % 11] }
}

type FeatureShares = Pick<
  SimulationOptions,
  'transactionShare' | 'upkeepShare' | 'pastShare' | 'watchers' | 'leaseClients'
>

/** What clients do that needs feature level 1. */
function drawShares(draw: Draw): FeatureShares {
  return {
    transactionShare: draw.pick([0, 0.1, 0.5]),
    upkeepShare: draw.pick([0, 0.05, 0.2]),
    pastShare: draw.pick([0, 0.1, 0.4]),
    watchers: draw.pick([0, 1, 4]),
    leaseClients: draw.pick([0, 1, 4]),
  }
}

const NO_SHARES: FeatureShares = { transactionShare: 0, upkeepShare: 0, pastShare: 0, watchers: 0, leaseClients: 0 }

function drawFormation(draw: Draw): FormationPlan {
  const kind = draw.pick<FormationKind>([
    'one',
    'one',
    'some',
    'all',
    'all',
    'all',
    'different-overlapping',
    'different-disjoint',
    'unreachable-peer',
    'after-vote',
    'discovered',
    'discovered',
  ])
  return { kind, spreadMs: draw.pick([0, 1, 5, 50, 500]), crashes: draw.chance(0.3) }
}

/** Draws everything that a seed decides before it starts. `on`: the topic of the whole campaign; null for everything. */
export function drawOptions(seed: number, draw: Draw, on: Focus | null = null): SimulationOptions {
  // Some seeds have no faults at all. In these everything must succeed.
  const share = draw.pick([0, 0.15, 0.3, 0.5, 0.8])
  const faults = new Set(faultGroups.filter(() => draw.chance(share)))
  const voters = draw.pick([1, 2, 3, 3, 3, 3, 4, 5, 5])
  const drawn = drawNode(draw)
  const node = faults.size === 0 ? { ...drawn, ...ROOMY } : drawn
  const options = drawRest(seed, draw, { faults, voters, node })
  const focused = on === 'discovery' ? focusOnDiscovery(options, draw) : focus(options, draw)
  if (seed < LEVEL_1_FROM) return focused
  const leveled = withUpgrade(focused, draw)
  const repeating = seed < REPEATS_FROM ? leveled : withRepeats(leveled, draw)
  const guarded = seed < AUTH_FROM ? repeating : withAuth(repeating, draw)
  const importing = seed < IMPORTS_FROM ? guarded : withImports(guarded, draw)
  const loaded = withWindowForLoad(seed < INSPECTIONS_FROM ? importing : withInspections(importing, draw))
  return loaded.faults.size === 0 ? loaded : { ...loaded, node: withAdmission(loaded.node, seed) }
}

/** Most of the writes that are sent again are remembered, and some are forgotten. */
function withRepeats(options: SimulationOptions, draw: Draw): SimulationOptions {
  const node = { ...options.node, idempotentWritesMax: draw.pick([8, 40, 1000]) }
  return { ...options, node, keyedShare: draw.pick([0.3, 0.6, 1]), repeatShare: draw.pick([0, 0.05, 0.2]) }
}

/** In a third of the seeds each: what imports write, and all keys that they join, makes histories dear to check. */
function withImports(options: SimulationOptions, draw: Draw): SimulationOptions {
  return { ...options, importers: draw.pick([0, 0, 1]), viewers: draw.pick([0, 0, 1]) }
}

/** In half of the seeds. */
function withInspections(options: SimulationOptions, draw: Draw): SimulationOptions {
  return withFreezes({ ...options, inspectors: draw.pick([0, 0, 1, 2]) }, draw)
}

/** In a quarter of the seeds with faults. In half of these dead nodes are replaced automatically, and by nobody else. */
function withFreezes(options: SimulationOptions, draw: Draw): SimulationOptions {
  const { faults, automation } = options
  if (faults.size === 0 || !draw.chance(0.25)) return options
  const frozen = new Set<FaultGroup>([...faults, 'freezes'])
  if (draw.chance(0.5)) return { ...options, faults: frozen }
  frozen.delete('memberships')
  const autopilot = { ...automation.autopilot, mode: 'on' as const }
  return { ...options, faults: frozen, automation: { ...automation, autopilot } }
}

/** A secret is one of one cluster: where several can be formed, there are no tokens. */
function withAuth(options: SimulationOptions, draw: Draw): SimulationOptions {
  const { kind } = options.formation
  const plan = {
    fromMs: options.safetyMs * draw.pick([0, 0.05, 0.3]),
    changeEveryMs: draw.pick([30, 100, 300]),
    expiringShare: draw.pick([0, 0.1, 0.4]),
  }
  const mayBeSeveral = kind === 'different-overlapping' || kind === 'different-disjoint'
  return mayBeSeveral || draw.chance(0.4) ? options : { ...options, auth: plan }
}

/** An old build that joins a cluster of a higher level, or comes back to it, cannot go on, and nobody promises that it can. */
const JOINING: readonly FaultGroup[] = ['memberships', 'wipes', 'log-damage', 'vote-damage']

/** A cluster of mixed builds: all of them are members from the first moment on. */
function withUpgrade(options: SimulationOptions, draw: Draw): SimulationOptions {
  const { faults, formation, safetyMs } = options
  const left = new Set([...faults].filter((fault) => !JOINING.includes(fault)))
  if (!draw.chance(0.2) || formation.kind === 'discovered' || left.size === 0) return options
  const upgrade = { fromMs: safetyMs * draw.pick([0.1, 0.3, 0.5]), spreadMs: draw.pick([100, 1_000]) }
  return { ...options, spares: 0, faults: left, upgrade }
}

function drawRest(
  seed: number,
  draw: Draw,
  { faults, voters, node }: Pick<SimulationOptions, 'faults' | 'voters' | 'node'>,
): SimulationOptions {
  const spares = draw.integer(0, Math.min(4, 8 - voters))
  const formation = drawFormation(draw)
  const isDiscovered = formation.kind === 'discovered'
  return {
    seed,
    voters,
    spares,
    formation,
    automation: isDiscovered ? drawDiscovery(draw, voters + spares) : drawManual(draw),
    bootMs: isDiscovered ? draw.pick([BOOT_MS, 500, 2_000]) : BOOT_MS,
    safetyMs: draw.pick([4_000, 8_000, 15_000]),
    faults,
    faultEveryMs: draw.pick([150, 400, 1000]),
    topology:
      voters >= 3 && draw.chance(0.4)
        ? draw.pick<LivenessTopology>(['dead-voter', 'partial', 'bridge', 'one-way', 'flapping', 'slow-disk'])
        : 'whole',
    usesCodec: draw.chance(0.25),
    huntsLeader: false,
    clients: draw.integer(1, 7),
    thinkMs: draw.pick([5, 20, 80]),
    keys: draw.pick([1, 3, 8]),
    rangeShare: draw.pick([0, 0.1, 0.3]),
    keyedShare: draw.pick([0, 0.3, 1]),
    repeatShare: 0,
    ...(seed < LEVEL_1_FROM ? NO_SHARES : drawShares(draw)),
    upgrade: null,
    auth: null,
    importers: 0,
    viewers: 0,
    inspectors: 0,
    stickyShare: draw.pick([0, 0.5, 1]),
    leaseShare: draw.pick([0, 0.2, 0.7]),
    boundedShare: draw.pick([0, 0, 0.3]),
    timeoutMs: draw.pick([300, 1000, 3000]),
    membershipEveryMs: draw.pick([300, 800, 2000]),
    writeMs: draw.pick([0.05, 0.3, 3]),
    delayMs: draw.pick([0.2, 1, 5]),
    workMs: draw.chance(0.2) ? draw.pick([0.05, 0.3]) : 0,
    turnMs: draw.pick([0.05, 0.5]),
    cachedProbability: draw.pick([0, 0.5, 1, 1]),
    node: seed < LEVEL_1_FROM ? { ...node, featureLevelMax: 0 } : withHistory(node, draw),
  }
}

export function describeOptions(options: SimulationOptions): string[] {
  const { faults, node, formation, ...rest } = options
  return [
    `seed ${options.seed}`,
    `formation ${JSON.stringify(formation)}`,
    ...Object.entries(rest)
      .filter(([name]) => name !== 'seed')
      .map(([name, value]) => `${name} ${JSON.stringify(value)}`),
    `node ${JSON.stringify(node)}`,
    `faults ${[...faults].join(' ')}`,
  ]
}
