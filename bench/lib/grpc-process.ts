import type { IncomingHttpHeaders } from 'node:http'
import { connect, constants, type ClientHttp2Session } from 'node:http2'
import { setTimeout as delay } from 'node:timers/promises'
import { etcdKey, putRequest, rangeRequest, valueField } from './grpc-messages.ts'
import { Latencies } from './statistics.ts'
import type { Load } from './load.ts'

/**
 * A closed loop over gRPC, by the HTTP/2 client of Node: with `connections` calls in flight over a few connections, as a client of etcd
 * does it. A library for gRPC on top of the same client would take about twice the CPU time.
 */
const CALLS_A_SESSION = 64
const { HTTP2_HEADER_METHOD, HTTP2_HEADER_PATH, HTTP2_HEADER_CONTENT_TYPE, HTTP2_HEADER_TE } = constants

class Loop {
  private readonly load: Load
  private readonly value: Buffer
  private readonly sessions: ClientHttp2Session[]
  private readonly latencies = new Latencies()
  private open = 0
  private ok = 0
  private errors = 0
  private sent = 0
  private until = Infinity

  constructor(load: Load) {
    this.load = load
    this.value = valueField(Buffer.alloc(load.valueBytes, 'v'))
    const count = Math.ceil(load.connections / CALLS_A_SESSION)
    this.sessions = Array.from({ length: count }, (_, n) => {
      const session = connect(`http://${load.targets[n % load.targets.length]}`)
      session.on('error', () => session.destroy())
      return session
    })
  }

  async run(): Promise<object> {
    const begun = performance.now()
    this.until = begun + this.load.seconds * 1000
    for (let n = 0; n < this.load.connections; n++) this.next(n % this.sessions.length)
    while (performance.now() < this.until && !this.isFilled) await delay(10)
    const answered = this.ok
    const tookMs = performance.now() - begun
    while (this.open > 0) await delay(1)
    for (const session of this.sessions) session.destroy()
    return {
      requestsPerSecond: (answered * 1000) / tookMs,
      requests: this.ok + this.errors,
      ...this.latencies.quantiles(),
      errors: this.errors,
      distribution: this.latencies.distribution(),
    }
  }

  /** In order, each key is written once. */
  private get isFilled(): boolean {
    return this.load.inOrder === true && this.sent >= this.load.keys && this.open === 0
  }

  private nextKey(): string {
    const { inOrder, keys } = this.load
    return etcdKey(inOrder === true ? this.sent : Math.floor(Math.random() * keys))
  }

  private next(at: number): void {
    const session = this.sessions[at]
    if (session === undefined || performance.now() >= this.until) return
    if (this.load.inOrder === true && this.sent >= this.load.keys) return
    if (session.destroyed) throw new Error('etcd closed the connection')
    const key = this.nextKey()
    this.sent += 1
    const isPut = this.load.method === 'PUT'
    const begun = performance.now()
    const call = session.request({
      [HTTP2_HEADER_METHOD]: 'POST',
      [HTTP2_HEADER_PATH]: `/etcdserverpb.KV/${isPut ? 'Put' : 'Range'}`,
      [HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      [HTTP2_HEADER_TE]: 'trailers',
    })
    let status = ''
    const read = (headers: IncomingHttpHeaders): void => {
      const given = headers['grpc-status']
      if (typeof given === 'string') status = given
    }
    this.open += 1
    call.on('response', read)
    call.on('trailers', read)
    call.on('error', () => call.destroy())
    call.on('close', () => {
      this.open -= 1
      if (status === '0') {
        this.ok += 1
        this.latencies.record(performance.now() - begun)
      } else this.errors += 1
      this.next(at)
    })
    call.resume()
    call.end(isPut ? putRequest(key, this.value) : rangeRequest(key))
  }
}

process.on('message', (load: Load) => {
  void new Loop(load).run().then(
    (report) => process.send?.({ report }, () => process.exit(0)),
    (error: unknown) => process.send?.({ error: String(error) }, () => process.exit(1)),
  )
})
process.on('disconnect', () => process.exit(1))
