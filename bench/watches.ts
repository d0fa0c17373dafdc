import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, startCluster, type BenchNode } from './lib/cluster.ts'
import { median, type Figure } from './lib/report.ts'
import { call, getJson } from './lib/rest.ts'
import { hasWrk, runLoad } from './lib/wrk.ts'

export interface WatchesOptions {
  readonly seconds: number
  /** How often the load runs without and with watchers, in turns. */
  readonly repeat: number
  /** Watchers beside the writers, none of whose keys is written. */
  readonly watchers: number
  /** Watchers of which each is told of every change. */
  readonly fanOut: number
  /** Watchers at one time on one node. */
  readonly most: number
}

export const watchesDefaults: WatchesOptions = { seconds: 5, repeat: 6, watchers: 1_000, fanOut: 100, most: 10_000 }

const OPENED_AT_ONCE = 200
const SETTLE_MS = 1_000

/** Watches of one node over connections of their own. What they are told is counted, not read. */
class Watchers {
  bytes = 0
  events = 0
  private readonly node: BenchNode
  private readonly sockets: Socket[] = []

  constructor(node: BenchNode) {
    this.node = node
  }

  async open(count: number, query: (n: number) => string): Promise<void> {
    const { hostname, port } = new URL(this.node.api)
    for (let n = 0; n < count; n += OPENED_AT_ONCE) {
      const some = Array.from({ length: Math.min(OPENED_AT_ONCE, count - n) }, (_, at) => query(n + at))
      await Promise.all(some.map((one) => this.openOne(hostname, Number(port), one)))
    }
  }

  private openOne(host: string, port: number, query: string): Promise<void> {
    const socket = connect(port, host)
    this.sockets.push(socket)
    return new Promise((resolve, reject) => {
      socket.on('error', reject)
      socket.on('data', (chunk) => {
        this.bytes += chunk.length
        for (let at = chunk.indexOf('event: put'); at >= 0; at = chunk.indexOf('event: put', at + 1)) this.events += 1
        resolve()
      })
      socket.write(`GET /watch?${query} HTTP/1.1\r\nhost: bench\r\n\r\n`)
    })
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy()
  }
}

function memoryMiB({ pid }: BenchNode): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1])
  return (pages * 4096) / 2 ** 20
}

async function metric({ api }: BenchNode, name: string): Promise<number> {
  const { body } = await call('GET', `${api}/metrics`)
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(body.toString())?.[1])
}

/** What watches cost: writers that match none of them, a change that many want, and the most that a node serves. */
export async function watches(options: WatchesOptions = watchesDefaults): Promise<Figure[]> {
  if (!hasWrk()) throw new Error('the load generator wrk is missing (Debian: apt-get install wrk)')
  const cluster = await startCluster()
  try {
    const leader = await cluster.leader()
    await load(leader, options.seconds)
    return [await beside(leader, options), await fanOut(leader, options), await most(leader, options)]
  } finally {
    await cluster.stop()
  }
}

async function load({ api }: BenchNode, seconds: number): Promise<number> {
  const shape = { method: 'PUT', targets: [api.slice('http://'.length)], connections: 64 } as const
  return (await runLoad({ ...shape, seconds, keys: 100_000, valueBytes: 256 })).requestsPerSecond
}

async function beside(leader: BenchNode, { seconds, repeat, watchers: count }: WatchesOptions): Promise<Figure> {
  const without: number[] = []
  const within: number[] = []
  for (let run = 0; run < repeat; run++) {
    // What comes first in one round comes second in the next: the load before it has an effect of its own.
    if (run % 2 === 0) without.push(await load(leader, seconds))
    const watchers = new Watchers(leader)
    await watchers.open(count, (n) => (n % 2 === 0 ? `key=other-${n}` : `prefix=other-${n}/`))
    within.push(await load(leader, seconds))
    watchers.close()
    await eventually('they have left', async () => ((await metric(leader, 'quorate_watchers')) === 0 ? true : null))
    if (run % 2 === 1) without.push(await load(leader, seconds))
  }
  const lost = within.map((rate, at) => 100 * (1 - rate / (without[at] ?? rate)))
  const values = {
    without: median(without),
    with: median(within),
    lostPercent: median(lost),
    memoryMiB: memoryMiB(leader),
  }
  return { bench: 'watches', settings: { what: 'PUT/s beside', watchers: count, runs: repeat }, values }
}

async function fanOut(leader: BenchNode, { seconds, fanOut: count }: WatchesOptions): Promise<Figure> {
  const watchers = new Watchers(leader)
  await watchers.open(count, () => 'prefix=key-')
  const [events, bytes, begun] = [watchers.events, watchers.bytes, performance.now()]
  const putsPerSecond = await load(leader, seconds)
  const passed = (performance.now() - begun) / 1000
  const values = {
    putsPerSecond,
    eventsPerSecond: (watchers.events - events) / passed,
    mibPerSecond: (watchers.bytes - bytes) / passed / 2 ** 20,
    fallenBehind: await metric(leader, 'quorate_watchers_fallen_behind_total'),
    memoryMiB: memoryMiB(leader),
  }
  watchers.close()
  await eventually('they have left', async () => ((await metric(leader, 'quorate_watchers')) === 0 ? true : null))
  return { bench: 'watches', settings: { what: 'told of every change', watchers: count }, values }
}

async function most(leader: BenchNode, { most: count, seconds }: WatchesOptions): Promise<Figure> {
  const memoryBefore = memoryMiB(leader)
  const watchers = new Watchers(leader)
  const begun = performance.now()
  await watchers.open(count, (n) => `key=many-${n}`)
  const openSeconds = (performance.now() - begun) / 1000
  await delay(SETTLE_MS)
  const memoryOpen = memoryMiB(leader)
  const putsPerSecond = await load(leader, seconds)
  const values = {
    openSeconds,
    memoryBefore,
    memoryOpen,
    putsPerSecond,
    memoryAfter: memoryMiB(leader),
    term: Number((await getJson(`${leader.api}/cluster`))['term']),
  }
  watchers.close()
  return { bench: 'watches', settings: { what: 'as many as a node serves', watchers: count }, values }
}
