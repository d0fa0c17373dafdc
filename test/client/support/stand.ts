import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { QuorateClient, type ClientOptions } from '../../../src/client/index.ts'
import { listenUntilEnd } from '../../support/loopback-server.ts'

export interface Asked {
  /** When, by `performance.now()`. */
  readonly at: number
  readonly method: string
  readonly path: string
  readonly timeoutMs: number | null
  readonly query: URLSearchParams
  readonly idempotencyKey: string | null
}

/** A server that is no node: it notes what it is asked. */
export interface Stand {
  readonly url: URL
  readonly asked: readonly Asked[]
}

export type Answering = (request: IncomingMessage, response: ServerResponse, timeoutMs: number) => void

export async function stand(t: Test, answer: Answering): Promise<Stand> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://stand')
    const timeout = searchParams.get('timeout')
    const timeoutMs = timeout === null ? null : Number(timeout.replace(/ms$/, ''))
    const key = request.headers['idempotency-key']
    const idempotencyKey = typeof key === 'string' ? key : null
    const at = performance.now()
    // What is told of data says which node tells it.
    response.setHeader('quorate-served-by', '1')
    asked.push({ at, method: request.method ?? '', path: pathname, timeoutMs, query: searchParams, idempotencyKey })
    answer(request, response, timeoutMs ?? 0)
  })
  const host = await listenUntilEnd(t, server)
  return { url: new URL(`http://${host}`), asked }
}

/** Answers as something does that is no node. */
export function foreign(status: number, body: string, headers: Readonly<Record<string, string>> = {}): Answering {
  return (_request, response) => {
    response.removeHeader('quorate-served-by')
    response.writeHead(status, headers).end(body)
  }
}

/** Takes requests and never answers, as a stopped process does. */
export const hang: Answering = () => undefined

const recordHeaders = {
  'quorate-revision': '7',
  'quorate-create-revision': '7',
  'quorate-mod-revision': '7',
  'quorate-version': '1',
}

/** What answers to a put, and to questions about the cluster and tokens, have. */
const success = {
  revision: 7,
  createRevision: 7,
  version: 1,
  node: {},
  nodes: {},
  membership: {},
  clusterId: 'c',
  enabled: false,
}

export const succeed: Answering = (_request, response) => {
  response.writeHead(200, recordHeaders).end(JSON.stringify(success))
}

/** Answers a request with a document, as a node does. */
export function answer(response: ServerResponse, status: number, document: object): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'quorate-revision': '7' })
    .end(JSON.stringify(document))
}

export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk as Uint8Array))
  return Buffer.concat(chunks).toString('utf8')
}

export function fail(
  response: ServerResponse,
  status: number,
  code: string,
  facts: object = {},
  headers: Readonly<Record<string, string>> = {},
): void {
  const problem = { status, title: 'No', detail: 'not here', code, retryable: true, ambiguous: false, ...facts }
  response.writeHead(status, { 'content-type': 'application/problem+json', ...headers }).end(JSON.stringify(problem))
}

/** Waits for something until its time is up, as a node does that is cut off from the others. */
export function isolated(code: string): Answering {
  return (_request, response, timeoutMs) => {
    const timer = setTimeout(() => fail(response, 503, code), timeoutMs)
    response.on('close', () => clearTimeout(timer))
  }
}

export function clientOf(
  t: Test,
  servers: readonly URL[],
  timeoutMs: number,
  options: Omit<ClientOptions, 'servers' | 'timeoutMs'> = {},
): QuorateClient {
  const client = new QuorateClient({ servers, timeoutMs, ...options })
  t.teardown(() => client.close())
  return client
}

/** A port on which nobody listens any more. */
export async function nobody(): Promise<URL> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return new URL(`http://127.0.0.1:${port}`)
}
