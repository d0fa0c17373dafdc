import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { LearnerAnswer } from '../src/api/cluster.ts'
import type { Bench } from './lib/bench.ts'
import { eventually, withCluster, type BenchCluster, type BenchNode } from './lib/cluster.ts'
import { eventuallyEqual } from './lib/conditions.ts'
import { fill, NDJSON } from './lib/fill.ts'
import { startOwn } from './lib/generator/own.ts'
import type { Figure } from './lib/report.ts'
import { getJson, sendJson } from './lib/rest.ts'
import { runLoad } from './lib/run-load.ts'
import { watchUsage } from './lib/usage.ts'

export interface EventLoopOptions {
  readonly nodes: number
  readonly keys: number
  readonly valueBytes: number
  /** How long nothing but the probes happens, for comparison. */
  readonly idleSeconds: number
  /** How long keys are overwritten for the compaction to have work. */
  readonly overwriteSeconds: number
}

/** Writes for each second that show what a client notices meanwhile. */
const PROBES_PER_SECOND = 200
const PROBE_SECONDS_MAX = 3_600
const PAGE = 1_000
const SETTLE_MS = 500
/** How often a request waits for a minute. */
const CATCH_UP_WAITS = 10
const COMPACTION_MS_MAX = 600_000

/** How late the event loops of the nodes are while one of them does something large, and nothing else. */
async function run(options: EventLoopOptions): Promise<Figure[]> {
  const { nodes, keys, valueBytes } = options
  return await withCluster({ nodes, grows: true }, async (cluster) => {
    const leader = await cluster.leader()
    await fill(leader, keys, valueBytes)
    await eventuallyEqual(cluster.nodes)
    const during = (what: string, work: () => Promise<unknown>): Promise<Figure> =>
      measure(cluster, what, work, { keys, valueBytes })
    return [
      await during('nothing', () => delay(options.idleSeconds * 1000)),
      await during('all keys are streamed', () => streamAll(leader)),
      await during(`all keys are listed, ${PAGE} a page`, () => listAll(leader)),
      await during('a snapshot streams to a new node', () => addNode(cluster, leader)),
      await during('a snapshot streams to a client', () => drain(`${leader.api}/cluster/snapshot`, '*/*')),
      await overwritten(cluster, leader, options).then(() => during('a compaction runs', () => compact(leader))),
    ]
  })
}

async function measure(
  cluster: BenchCluster,
  what: string,
  work: () => Promise<unknown>,
  { keys, valueBytes }: { readonly keys: number; readonly valueBytes: number },
): Promise<Figure> {
  const leader = await cluster.leader()
  const phases = [{ perSecond: PROBES_PER_SECOND, seconds: PROBE_SECONDS_MAX }]
  const shape = { method: 'PUT', targets: [leader.host], connections: 32, keys, valueBytes, phases } as const
  const probes = startOwn(shape)
  await delay(SETTLE_MS)
  const loops = cluster.nodes.map((node) => ({ id: node.id, watched: node.watchEventLoop() }))
  const usage = watchUsage(leader.pid)
  const begun = performance.now()
  await work()
  const seconds = (performance.now() - begun) / 1000
  const { maxMB, cpuMs } = usage.stop()
  const late = await Promise.all(loops.map(async ({ id, watched }) => ({ id, ...(await watched.end()) })))
  const { p50, p99, max, errors } = await probes.stop()
  const ofLeader = late.find(({ id }) => id === leader.id)
  const ofOthers = late.filter(({ id }) => id !== leader.id)
  return {
    bench: 'event-loop',
    settings: { while: what, keys, valueBytes },
    values: {
      seconds,
      leaderLateP99Ms: ofLeader?.p99Ms ?? NaN,
      leaderLateMaxMs: ofLeader?.maxMs ?? NaN,
      othersLateP99Ms: Math.max(0, ...ofOthers.map(({ p99Ms }) => p99Ms)),
      othersLateMaxMs: Math.max(0, ...ofOthers.map(({ maxMs }) => maxMs)),
      putP50Ms: p50,
      putP99Ms: p99,
      putMaxMs: max,
      putErrors: errors,
      leaderCpuSeconds: cpuMs / 1000,
      leaderRssMB: maxMB,
    },
  }
}

/** Reads an answer to its end and keeps nothing of it. */
function drain(url: string, accept: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers: { accept } }, (response) => {
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve()
        else reject(new Error(`GET ${url}: ${response.statusCode}`))
      })
      response.resume()
    })
    asked.on('error', reject)
    asked.end()
  })
}

function streamAll({ api }: BenchNode): Promise<void> {
  return drain(`${api}/kv?prefix=key-`, NDJSON)
}

async function listAll({ api }: BenchNode): Promise<void> {
  let cursor: string | undefined
  do {
    const from = cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const page = (await getJson(`${api}/kv?prefix=key-&limit=${PAGE}${from}`)) as { cursor?: string }
    cursor = page.cursor
  } while (cursor !== undefined)
}

async function addNode(cluster: BenchCluster, leader: BenchNode): Promise<void> {
  // Without the log, the new node needs the state.
  for (const { api } of cluster.nodes) await sendJson('POST', `${api}/cluster/purge`, undefined)
  const { id, raft, api } = await cluster.grow()
  // A large state takes longer than a request may wait.
  for (let waits = 0; waits < CATCH_UP_WAITS; waits++) {
    const answer = await sendJson('POST', `${leader.api}/cluster/learners?timeout=60s`, { id, raft, api })
    if ((answer as LearnerAnswer).caughtUp) return
  }
  throw new Error(`the new node has not caught up within ${CATCH_UP_WAITS} minutes`)
}

async function overwritten(
  { nodes }: BenchCluster,
  leader: BenchNode,
  { keys, valueBytes, overwriteSeconds }: EventLoopOptions,
): Promise<void> {
  const shape = { method: 'PUT', targets: [leader.host], connections: 64, keys, valueBytes } as const
  await runLoad({ ...shape, seconds: overwriteSeconds })
  await eventuallyEqual(nodes)
}

/** Until all that was there is removed. */
async function compact({ api }: BenchNode): Promise<void> {
  const history = async () => (await getJson(`${api}/compaction`)) as { revision: number; changes: number }
  const { revision } = await history()
  await sendJson('POST', `${api}/compaction?timeout=60s`, { revision })
  const attempt = async (): Promise<true | null> => {
    const now = await history()
    return now.changes <= now.revision - revision ? true : null
  }
  await eventually('the compaction is over', attempt, COMPACTION_MS_MAX)
}

const usual = { nodes: 3, valueBytes: 256, idleSeconds: 5 } as const

export const eventLoop: Bench<EventLoopOptions> = {
  sizes: {
    smoke: { ...usual, nodes: 1, keys: 1_500, idleSeconds: 0.1, overwriteSeconds: 0.2 },
    quick: { ...usual, keys: 100_000, overwriteSeconds: 5 },
    normal: { ...usual, keys: 300_000, overwriteSeconds: 15 },
    full: { ...usual, keys: 1_000_000, idleSeconds: 15, overwriteSeconds: 60 },
  },
  run,
}
