import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

/** Below the range from which kernels take ports for outgoing connections, so that none of those takes one of ours. */
const lowest = 20_000
const highest = 32_000
const triesMax = 200

/**
 * `count` ports of the loopback on which nobody listens, none of them given before by this process or by another one that still runs:
 * a node that is stopped for a moment finds its port again.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  for (let tries = 0; ports.length < count && tries < triesMax; tries++) {
    const port = randomInt(lowest, highest)
    if ((await reserve(port)) && (await isFree(port))) ports.push(port)
  }
  if (ports.length < count) throw new Error(`no ${count} free ports between ${lowest} and ${highest}`)
  return ports
}

/** Holds the port of the same number for datagrams, which nobody else needs, until this process ends. */
async function reserve(port: number): Promise<boolean> {
  const mark = createSocket('udp4')
  mark.unref()
  return await new Promise((resolve) => {
    mark.once('error', () => {
      mark.close()
      resolve(false)
    })
    mark.bind({ port, address: '127.0.0.1', exclusive: true }, () => resolve(true))
  })
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  return await new Promise((resolve) => {
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
