import { connect, type Socket } from 'node:net'
import { eventually, type BenchNode } from './cluster.ts'
import { metric } from './conditions.ts'

const OPENED_AT_ONCE = 200
const EVENT = '\nevent: put'

/** Watches of one node over connections of their own. What they are told is counted, not read. */
export class Watchers {
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
      // An event may begin in one piece and go on in the next.
      let tail = ''
      socket.on('error', reject)
      socket.on('data', (chunk) => {
        this.bytes += chunk.length
        const text = tail + chunk.toString('latin1')
        for (let at = text.indexOf(EVENT); at >= 0; at = text.indexOf(EVENT, at + 1)) this.events += 1
        tail = text.slice(-(EVENT.length - 1))
        resolve()
      })
      socket.write(`GET /watch?${query} HTTP/1.1\r\nhost: bench\r\n\r\n`)
    })
  }

  /** Resolves when the node has noticed that they have left. */
  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await eventually('they have left', async () => ((await metric(this.node, 'quorate_watchers')) === 0 ? true : null))
  }
}
