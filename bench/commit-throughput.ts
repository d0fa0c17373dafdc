import Fastify from 'fastify'
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { BenchCluster } from './lib/cluster.ts'
import { freePort, startCluster } from './lib/cluster.ts'
import type { Figure } from './lib/report.ts'
import { summarize } from './lib/report.ts'
import type { LoadResult } from './lib/wrk.ts'
import { hasWrk, runLoad } from './lib/wrk.ts'

const KEYS = 100_000
const CONNECTIONS = [1, 64, 256] as const

export interface ThroughputOptions {
  readonly seconds: number
  readonly repeat: number
  readonly connections: readonly number[]
  readonly valueBytes: number
}

export const throughputDefaults: ThroughputOptions = {
  seconds: 5,
  repeat: 3,
  connections: CONNECTIONS,
  valueBytes: 256,
}

/** The floor: the same requests to a plain Fastify handler that stores them in a Map, without Raft and without a disk. */
async function startFloor(): Promise<{ readonly target: string; stop(): void }> {
  const port = await freePort()
  const child = fork(fileURLToPath(import.meta.url), ['floor', String(port)])
  await new Promise<void>((resolve) => child.once('message', () => resolve()))
  return { target: `127.0.0.1:${port}`, stop: () => child.kill('SIGKILL') }
}

async function serveFloor(port: number): Promise<void> {
  const values = new Map<string, Buffer>()
  const app = Fastify()
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.put('/kv/*', (request, reply) => {
    values.set((request.params as Record<string, string>)['*'] ?? '', request.body as Buffer)
    void reply.send({ revision: values.size })
  })
  await app.listen({ port, host: '127.0.0.1' })
  process.send?.('ready')
}

/** PUTs of `valueBytes` over 100,000 keys in a closed loop: to the leader, to a follower, to all nodes, and to the floor. */
export async function commitThroughput(options: ThroughputOptions = throughputDefaults): Promise<Figure[]> {
  if (!hasWrk()) throw new Error('the load generator wrk is missing (Debian: apt-get install wrk)')
  const cluster = await startCluster()
  const floor = await startFloor()
  try {
    const targets = await targetsOf(cluster, floor.target)
    await runLoad({
      method: 'PUT',
      targets: targets.all,
      connections: 64,
      seconds: 3,
      keys: KEYS,
      valueBytes: options.valueBytes,
    })
    const figures: Figure[] = []
    for (const connections of options.connections) {
      const runs = new Map<string, LoadResult[]>(Object.keys(targets).map((name) => [name, []]))
      // Targets alternate, so that other work of the machine affects all of them alike.
      for (let run = 0; run < options.repeat; run++) {
        for (const [name, list] of Object.entries(targets)) {
          const load = {
            method: 'PUT',
            targets: list,
            connections,
            seconds: options.seconds,
            keys: KEYS,
            valueBytes: options.valueBytes,
          } as const
          runs.get(name)?.push(await runLoad(load))
        }
      }
      for (const [to, results] of runs) {
        figures.push({
          bench: 'commit-throughput',
          settings: { to, connections, valueBytes: options.valueBytes, runs: options.repeat },
          values: summarize(
            results.map((result) => ({ ...result })),
            'requestsPerSecond',
          ),
        })
      }
    }
    return figures
  } finally {
    floor.stop()
    await cluster.stop()
  }
}

async function targetsOf(
  cluster: BenchCluster,
  floor: string,
): Promise<Record<'leader' | 'follower' | 'all' | 'floor', string[]>> {
  const leader = await cluster.leader()
  const host = (api: string): string => api.slice('http://'.length)
  const follower = cluster.nodes.find(({ id }) => id !== leader.id) ?? leader
  return {
    leader: [host(leader.api)],
    follower: [host(follower.api)],
    all: cluster.nodes.map(({ api }) => host(api)),
    floor: [floor],
  }
}

if (process.argv[2] === 'floor') await serveFloor(Number(process.argv[3]))
