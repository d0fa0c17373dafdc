import { setTimeout as delay } from 'node:timers/promises'
import { limits } from '../src/limits.ts'
import type { Bench } from './lib/bench.ts'
import { withCluster, type BenchCluster, type BenchNode } from './lib/cluster.ts'
import { eventuallyEqual, metric, statusOf } from './lib/conditions.ts'
import { measureLed } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { call, sendJson } from './lib/rest.ts'
import { Latencies } from './lib/statistics.ts'
import { residentMB } from './lib/usage.ts'

export interface LeasesOptions {
  readonly nodes: number
  /** Clients, each with a lease that it keeps alive at a third of its time. */
  readonly holders: number
  readonly ttlMs: number
  /** How often each of them does. */
  readonly rounds: number
  /** Leases at one time, and keys that belong to them in all. */
  readonly leases: number
  readonly attachedKeys: number
}

const IN_FLIGHT = 64
const VALUE = 'v'.repeat(64)
/** So that no lease of the second part ends during it. */
const LONG_TTL_MS = limits.lease.ttlMsMax

/** What leases cost: those that are kept alive, one that many keep alive at once, and as many as a cluster may have. */
async function run(options: LeasesOptions): Promise<Figure[]> {
  return await withCluster(options, async (cluster) => {
    const leader = await cluster.leader()
    const figures = [await keptAlive(cluster, leader, options), await heldTogether(cluster, leader, options)]
    figures.push(await attached(cluster, leader, options))
    return figures
  })
}

async function grant({ api }: BenchNode, ttlMs: number): Promise<number> {
  const { id } = await sendJson('POST', `${api}/leases`, { ttlMs })
  return Number(id)
}

/** Calls `work` with each number below `count`, a few at a time. */
async function forEach(count: number, inFlight: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: Math.min(inFlight, count) }, worker))
}

/** A request that fails counts, and does not end the bench. */
class Keepalives {
  readonly latencies = new Latencies()
  requests = 0
  errors = 0

  async send({ api }: BenchNode, lease: number): Promise<void> {
    const begun = performance.now()
    try {
      const { status } = await call('POST', `${api}/leases/${lease}/keepalive`)
      if (status !== 200) this.errors++
    } catch {
      this.errors++
    }
    this.requests++
    this.latencies.record(performance.now() - begun)
  }
}

/** Each holder at a time of its own, as clients that have nothing to do with each other. */
async function keptAlive(
  cluster: BenchCluster,
  leader: BenchNode,
  { holders, ttlMs, rounds }: LeasesOptions,
): Promise<Figure> {
  const leases: number[] = []
  await forEach(holders, IN_FLIGHT, async () => void leases.push(await grant(leader, ttlMs)))
  const everyMs = ttlMs / 3
  const sent = new Keepalives()
  const { cost } = await measureLed(cluster, leader, async () => {
    await Promise.all(
      leases.map(async (lease, at) => {
        await delay((at / holders) * everyMs)
        for (let round = 0; round < rounds; round++) {
          await Promise.all([sent.send(leader, lease), delay(everyMs)])
        }
      }),
    )
    return sent
  })
  const values = {
    ...sent.latencies.quantiles(),
    keepalivesPerSecond: sent.requests / ((rounds * everyMs) / 1000),
    errors: sent.errors,
    leftOver: await metric(leader, 'quorate_leases'),
    ...cost,
  }
  await forEach(holders, IN_FLIGHT, async (n) => {
    await call('DELETE', `${leader.api}/leases/${leases[n]}`)
  })
  return { bench: 'leases', settings: { what: 'a lease for each holder', holders, ttlMs }, values }
}

/** All at the same moment, each over a connection of its own. */
async function heldTogether(
  cluster: BenchCluster,
  leader: BenchNode,
  { holders, ttlMs, rounds }: LeasesOptions,
): Promise<Figure> {
  const lease = await grant(leader, ttlMs)
  const sent = new Keepalives()
  const begun = performance.now()
  const { cost } = await measureLed(cluster, leader, async () => {
    for (let round = 0; round < rounds; round++) {
      await Promise.all(Array.from({ length: holders }, () => sent.send(leader, lease)))
    }
    return sent
  })
  const values = {
    ...sent.latencies.quantiles(),
    keepalivesPerSecond: sent.requests / ((performance.now() - begun) / 1000),
    errors: sent.errors,
    term: (await statusOf(leader)).term,
    ...cost,
  }
  await call('DELETE', `${leader.api}/leases/${lease}`)
  return { bench: 'leases', settings: { what: 'one lease, all holders at once', holders, ttlMs }, values }
}

/** As many leases as asked for, with keys that belong to them, written in transactions as large as they may be. */
async function attached(
  cluster: BenchCluster,
  leader: BenchNode,
  { leases: count, attachedKeys }: LeasesOptions,
): Promise<Figure> {
  const rssBeforeMB = residentMB(leader.pid)
  const leases: number[] = []
  const begun = performance.now()
  await forEach(count, IN_FLIGHT, async () => void leases.push(await grant(leader, LONG_TTL_MS)))
  const granted = performance.now()
  const perTransaction = limits.transactionOperationsMax
  await forEach(Math.ceil(attachedKeys / perTransaction), IN_FLIGHT, async (n) => {
    const keys = Math.min(perTransaction, attachedKeys - n * perTransaction)
    const success = Array.from({ length: keys }, (_, at) => {
      const key = n * perTransaction + at
      return { put: { key: `attached-${key}`, value: VALUE, lease: leases[key % count] } }
    })
    await sendJson('POST', `${leader.api}/txn`, { success })
  })
  const written = performance.now()
  await eventuallyEqual(cluster.nodes)
  const rssMB = residentMB(leader.pid)
  const revoking = performance.now()
  await call('DELETE', `${leader.api}/leases/${leases[0]}`)
  const values = {
    grantsPerSecond: (count * 1000) / (granted - begun),
    attachedPerSecond: (attachedKeys * 1000) / (written - granted),
    rssBeforeMB,
    rssMB,
    revokeMs: performance.now() - revoking,
    term: (await statusOf(leader)).term,
  }
  return { bench: 'leases', settings: { what: 'as many as a cluster has', leases: count, attachedKeys }, values }
}

const usual = { nodes: 3, holders: 10_000, ttlMs: 30_000 } as const

export const leases: Bench<LeasesOptions> = {
  sizes: {
    smoke: { nodes: 1, holders: 20, ttlMs: 1_000, rounds: 1, leases: 20, attachedKeys: 200 },
    quick: { ...usual, holders: 2_000, ttlMs: 6_000, rounds: 2, leases: 10_000, attachedKeys: 100_000 },
    normal: { ...usual, rounds: 2, leases: limits.leases.leasesMax, attachedKeys: limits.leases.attachedKeysMax },
    full: { ...usual, rounds: 6, leases: limits.leases.leasesMax, attachedKeys: limits.leases.attachedKeysMax },
  },
  run,
}
