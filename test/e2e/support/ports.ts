import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

/** Below the range from which kernels take ports for outgoing connections, so such a connection never takes one of these. */
const lowest = 20_000
const highest = 32_000
const triesMax = 200

/**
 * `count` ports of the loopback interface on which nobody listens. None of them was given out before by this process, or by
 * another one that still runs, so a node that is stopped for a moment finds its port free.
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

/** Reserves a port until this process ends, by holding the UDP port of the same number, which nothing else needs. */
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
