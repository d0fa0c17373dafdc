import { setTimeout as delay } from 'node:timers/promises'
import type { BenchNode } from './cluster.ts'
import { call, sendJson } from './rest.ts'

const EVERY_MS = 250
const TTL_MS = 3_000

/** What must go on while a node has too much to do. */
export interface Upkeep {
  /** The slowest renewal of a lease, and the slowest answer to whether the node is ready. */
  readonly renewalMaxMs: number
  readonly readyMaxMs: number
  /** How many of both had another answer than 200. */
  readonly upkeepFailed: number
}

/** Keeps a lease alive through `node`, and asks whether it is ready, until the returned function is called. */
export async function keepUp({ api }: BenchNode): Promise<() => Promise<Upkeep>> {
  const { id } = await sendJson('POST', `${api}/leases`, { ttlMs: TTL_MS })
  let renewalMaxMs = 0
  let readyMaxMs = 0
  let upkeepFailed = 0
  let isOver = false
  const ask = async (method: string, path: string): Promise<number> => {
    const since = performance.now()
    const status = await call(method, `${api}${path}`).then(
      (answer) => answer.status,
      () => 0,
    )
    if (status !== 200) upkeepFailed += 1
    return performance.now() - since
  }
  const asking = (async () => {
    while (!isOver) {
      const [renewalMs, readyMs] = await Promise.all([
        ask('POST', `/leases/${String(id)}/keepalive`),
        ask('GET', '/readyz'),
      ])
      renewalMaxMs = Math.max(renewalMaxMs, renewalMs)
      readyMaxMs = Math.max(readyMaxMs, readyMs)
      await delay(EVERY_MS)
    }
  })()
  return async () => {
    isOver = true
    await asking
    return { renewalMaxMs, readyMaxMs, upkeepFailed }
  }
}
