import { setTimeout as delay } from 'node:timers/promises'
import type { Bench } from './lib/bench.ts'
import type { Chart } from './lib/chart.ts'
import { withCluster, type BenchNode } from './lib/cluster.ts'
import { eventuallyEqual, eventuallyWhole } from './lib/conditions.ts'
import type { Second } from './lib/load.ts'
import { measureLed } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { runLoad, runOpenLoad } from './lib/run-load.ts'
import { mean } from './lib/statistics.ts'

export interface SlowFollowerOptions {
  readonly warmUpSeconds: number
  /** Before the follower is stopped, while it stands still, and after it runs again. */
  readonly seconds: readonly [before: number, stopped: number, after: number]
  /** Part of the peak that is asked for. */
  readonly share: number
  readonly keys: number
  readonly valueBytes: number
}

const WHOLE_TIMEOUT_MS = 120_000

/** Writes at a fixed rate while one of three nodes stands still for a while, and then makes up for what it has missed. */
async function run(options: SlowFollowerOptions): Promise<Figure[]> {
  return await withCluster({}, async (cluster) => {
    const leader = await cluster.leader()
    const follower = cluster.nodes.find(({ id }) => id !== leader.id) ?? leader
    const { keys, valueBytes, share } = options
    const [before, stopped, after] = options.seconds
    const shape = { method: 'PUT', targets: [leader.host], keys, valueBytes } as const
    const { requestsPerSecond } = await runLoad({ ...shape, connections: 64, seconds: options.warmUpSeconds })
    const perSecond = requestsPerSecond * share
    const phases = [{ perSecond, seconds: before + stopped + after }]
    const { result, cost } = await measureLed(cluster, leader, async () => {
      const loaded = runOpenLoad({ ...shape, connections: 256, phases })
      const [answers, caughtUpMs] = await Promise.all([loaded, pause(follower, before, stopped, cluster.nodes)])
      return { ...answers, caughtUpMs }
    })
    await eventuallyEqual(cluster.nodes)
    const part = (from: number, to: number): Record<'rate' | 'p99', number> => {
      const some = result.seconds.slice(from, to)
      return { rate: mean(some.map(({ ok }) => ok)), p99: Math.max(0, ...some.map(({ p99 }) => p99)) }
    }
    const [first, second, third] = [part(1, before), part(before, before + stopped), part(before + stopped, Infinity)]
    const curve = (of: (one: Second) => number) => result.seconds.map((one, n) => [n, of(one)] as const)
    return [
      {
        bench: 'slow-follower',
        settings: { rate: Math.round(perSecond), stoppedSeconds: stopped, keys, valueBytes },
        values: {
          beforeRate: first.rate,
          stoppedRate: second.rate,
          afterRate: third.rate,
          beforeP99: first.p99,
          stoppedP99: second.p99,
          afterP99: third.p99,
          caughtUpSeconds: result.caughtUpMs / 1000,
          failed: result.failed,
          refused: result.refused,
          ...cost,
        },
        curves: { 'PUT/s': curve(({ ok }) => ok), p99: curve(({ p99 }) => p99) },
      },
    ]
  })
}

/** Resolves to the time from the moment that the follower runs again until it has caught up, in milliseconds. */
async function pause(
  follower: BenchNode,
  before: number,
  stopped: number,
  nodes: readonly BenchNode[],
): Promise<number> {
  await delay(before * 1000)
  await follower.signal('SIGSTOP')
  await delay(stopped * 1000)
  await follower.signal('SIGCONT')
  const begun = performance.now()
  await eventuallyWhole(nodes, WHOLE_TIMEOUT_MS)
  return performance.now() - begun
}

function charts(figures: readonly Figure[]): Chart[] {
  const { p99 = [], 'PUT/s': rate = [] } = figures[0]?.curves ?? {}
  const x = { title: 'seconds' }
  return [
    {
      name: 'slow-follower-rate',
      title: 'Writes while a follower stands still',
      x,
      y: { title: 'PUT/s' },
      lines: { 'PUT/s': rate },
    },
    { name: 'slow-follower-p99', title: 'Their latency', x, y: { title: 'p99, ms', scale: 'log' }, lines: { p99 } },
  ]
}

const usual = { warmUpSeconds: 10, share: 0.5, keys: 100_000, valueBytes: 256 } as const

export const slowFollower: Bench<SlowFollowerOptions> = {
  sizes: {
    smoke: { ...usual, warmUpSeconds: 0.2, share: 0.1, seconds: [1, 1, 1], keys: 100 },
    quick: { ...usual, warmUpSeconds: 5, seconds: [5, 5, 10] },
    normal: { ...usual, seconds: [10, 15, 20] },
    full: { ...usual, warmUpSeconds: 20, seconds: [15, 60, 60] },
  },
  run,
  charts,
}
