import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/** Below the range from which kernels take ports for outgoing connections, so that none of those takes one of ours. */
const lowest = 20_000
const highest = 32_000
const triesMax = 200

const given = new Set<number>()

/** `count` ports of the loopback on which nobody listens, none of them given before by this process. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  for (let tries = 0; ports.length < count && tries < triesMax; tries++) {
    const port = randomInt(lowest, highest)
    if (given.has(port) || !(await isFree(port))) continue
    given.add(port)
    ports.push(port)
  }
  if (ports.length < count) throw new Error(`no ${count} free ports between ${lowest} and ${highest}`)
  return ports
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  return await new Promise((resolve) => {
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
