import { once } from 'node:events'
import { createServer, request as send, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { listenUntilEnd } from '../../support/loopback-server.ts'

/** A write that a node was sent, and what it answered. */
export interface Passed {
  readonly method: string
  readonly path: string
  readonly idempotencyKey: string | null
  readonly status: number
  /** The body of the answer. */
  readonly answer: string
  /** The answer did not get to the client: the connection broke. */
  readonly isLost: boolean
}

/** Proxies in front of the API of nodes, which lose the answers to writes that a node has carried out. */
export class LossyProxies {
  /** One for each node. */
  readonly urls: URL[] = []
  /** The writes that nodes have answered, in the order of their answers. */
  readonly passed: Passed[] = []
  /** Done before the connection of the next write breaks. Null: its answer is passed on. */
  private meanwhile: (() => Promise<unknown>) | null = null

  private constructor() {}

  static async before(t: Test, origins: readonly string[]): Promise<LossyProxies> {
    const proxies = new LossyProxies()
    for (const origin of origins) proxies.urls.push(await proxies.listen(t, origin))
    return proxies
  }

  /** The answer to the next write is lost. `meanwhile` is done when the node has answered, and before the client learns that its connection broke. */
  loseNext(meanwhile: () => Promise<unknown> = async () => await Promise.resolve()): void {
    this.meanwhile = meanwhile
  }

  private async listen(t: Test, origin: string): Promise<URL> {
    const server = createServer((request, response) => {
      this.pass(new URL(origin), request, response).catch((error: unknown) => response.destroy(error as Error))
    })
    const host = await listenUntilEnd(t, server)
    return new URL(`http://${host}`)
  }

  private async pass(origin: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request
    const meanwhile = method === 'GET' ? null : this.meanwhile
    if (meanwhile !== null) this.meanwhile = null
    const outbound = send(new URL(url, origin), { method, headers: { ...headers, host: origin.host }, agent: false })
    request.pipe(outbound)
    const [inbound] = (await once(outbound, 'response')) as [IncomingMessage]
    const chunks: Buffer[] = []
    for await (const chunk of inbound) chunks.push(chunk as Buffer)
    const answer = Buffer.concat(chunks)
    const status = inbound.statusCode ?? 0
    if (method !== 'GET') {
      const { pathname: path } = new URL(url, origin)
      const { 'idempotency-key': key } = headers
      const idempotencyKey = typeof key === 'string' ? key : null
      this.passed.push({ method, path, idempotencyKey, status, answer: answer.toString(), isLost: meanwhile !== null })
    }
    await meanwhile?.()
    if (meanwhile !== null) response.destroy()
    else response.writeHead(status, inbound.headers).end(answer)
  }
}
