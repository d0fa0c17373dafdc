import fs from 'node:fs'
import { once } from 'node:events'
import { request } from 'node:http'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { RequestError } from '../../src/lib/errors.ts'
import type { Server } from '../../src/server.ts'
import {
  answerChecker,
  openCheckedApi,
  patternOf,
  type Answer,
  type CheckedApiOptions,
  type Document,
} from '../support/checked-api.ts'
import { answerIn, listen, RawConnection } from '../support/raw-client.ts'
import type { MemoryServices } from '../support/memory-services.ts'
import { sampleOf, type Sample } from '../support/sample-requests.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { startTestNode } from '../support/test-node.ts'

const DEADLINE_MS = 60_000

/** Collects which statuses were seen on which operation, and what was not as documented. */
class Sightings {
  readonly document: Document
  readonly mistakes = new Set<string>()
  private readonly seen = new Map<string, Set<string>>()
  private readonly check: ReturnType<typeof answerChecker>

  constructor(document: Document) {
    this.document = document
    this.check = answerChecker(document)
  }

  get operations(): readonly { readonly method: string; readonly pattern: string }[] {
    return Object.entries(this.document.paths).flatMap(([pattern, methods]) =>
      Object.keys(methods).map((method) => ({ method: method.toUpperCase(), pattern })),
    )
  }

  note(method: string, url: string, answer: Answer): void {
    const path = url.replace(/\?.*$/s, '')
    const name = `${method} ${patternOf(this.document, path)}`
    const wrong = this.check(method, path, answer)
    if (wrong !== null) this.mistakes.add(`${name}: ${wrong}: ${answer.statusCode} ${answer.body.slice(0, 300)}`)
    const statuses = this.seen.get(name) ?? new Set()
    this.seen.set(name, statuses.add(String(answer.statusCode)))
  }

  /** The answers in the document that no request has caused. */
  unseen(): readonly string[] {
    return this.operations.flatMap(({ method, pattern }) => {
      const name = `${method} ${pattern}`
      const documented = Object.keys(this.document.paths[pattern]?.[method.toLowerCase()]?.responses ?? {})
      return documented.filter((status) => this.seen.get(name)?.has(status) !== true).map((one) => `${name}: ${one}`)
    })
  }
}

interface Asked {
  readonly method: string
  readonly url: string
}

/** A request as bytes; `head` stands behind its `Host`. */
function bytesOf({ method, url }: Asked, head: readonly string[], end = '\r\n\r\n'): string {
  return [`${method} ${url} HTTP/1.1`, 'host: localhost', ...head].join('\r\n') + end
}

/** Sends `bytes` on a connection of their own, and reads the one answer. */
async function exchange(port: number, method: string, bytes: string): Promise<Answer> {
  const connection = new RawConnection(port)
  connection.send(bytes)
  const text = await connection.until((so) => isWhole(method, so))
  connection.destroy()
  const { status, headers, body } = answerIn(text)
  return { statusCode: status, headers: Object.fromEntries(headers), body: Buffer.from(body, 'latin1').toString() }
}

function isWhole(method: string, text: string): boolean {
  if (!text.includes('\r\n\r\n')) return false
  if (method === 'HEAD') return true
  const { headers, body } = answerIn(text)
  // A watch that has begun has no end.
  if (headers.get('content-type') === 'text/event-stream') return true
  const length = headers.get('content-length')
  return length === undefined ? text.endsWith('\r\n0\r\n\r\n') : body.length >= Number(length)
}

/** The failures that any request may meet before its route sees it. */
const early: Readonly<Record<string, (asked: Asked) => string>> = {
  unknownParameter: ({ method, url }) => bytesOf({ method, url: `${url}?nonsense=1` }, ['content-length: 0']),
  unknownTransferCoding: (asked) => bytesOf(asked, ['transfer-encoding: gzip, chunked']),
  largeHeaders: (asked) => bytesOf(asked, [`x-large: ${'x'.repeat(60_000)}`]),
  encodedBody: (asked) =>
    bytesOf(asked, ['content-type: application/json', 'content-encoding: gzip', 'content-length: 2']) + '{}',
  unnamedType: (asked) => bytesOf(asked, ['content-type: nonsense', 'content-length: 2']) + '{}',
  chunkExtensions: (asked) =>
    `${bytesOf(asked, ['content-type: application/json', 'transfer-encoding: chunked'])}2;${'x'.repeat(20_000)}`,
  largeBody: (asked) => bytesOf(asked, ['content-type: application/json', 'content-length: 90000000']),
  otherSite: (asked) => bytesOf(asked, ['sec-fetch-site: cross-site', 'content-length: 0']),
  otherOrigin: (asked) => bytesOf(asked, ['origin: http://elsewhere.example', 'content-length: 0']),
  bug: (asked) => bytesOf(asked, ['x-bug: 1', 'content-length: 0']),
}

interface Owner {
  readonly teardown: (end: () => Promise<unknown>) => void
}

interface Front {
  readonly port: number
  readonly services: MemoryServices
}

/** The front on a port, in which a request may ask for an unexpected error. */
async function openFront(owner: Owner, options: CheckedApiOptions): Promise<Front> {
  const { app, services } = await openCheckedApi(owner, { ...options, beforeReady: plantBug })
  return { services, port: await listen(app) }
}

function plantBug(app: FastifyInstance): void {
  app.addHook('onRequest', async ({ headers }) => {
    if (headers['x-bug'] !== undefined) throw new TypeError('planted')
  })
}

async function noteEarly(owner: Owner, sightings: Sightings): Promise<void> {
  const { port, services } = await openFront(owner, {})
  const full = await openFront(owner, { connections: { max: 0 } })
  const hasty = await openFront(owner, {
    server: { headersTimeoutMs: 100, receiveTimeoutMs: 100, connectionsCheckMs: 20 },
  })
  for (const { method, pattern } of sightings.operations) {
    const asked = { method, url: pattern.replace('{key}', 'k').replace('{name}', 'l').replace('{id}', '7') }
    const note = async (at: number, bytes: string): Promise<void> => {
      const answer = await exchange(at, method, bytes)
      if (answer.statusCode >= 400) sightings.note(method, asked.url, answer)
    }
    for (const make of Object.values(early)) await note(port, make(asked))
    await note(full.port, bytesOf(asked, []))
    // A request of which nothing more comes.
    await note(hasty.port, bytesOf(asked, [], '\r\n'))
  }
  services.health.checks = [{ name: 'stores', ok: false, detail: 'the disk is gone' }]
  const livez = { method: 'GET', url: '/livez' }
  sightings.note(livez.method, livez.url, await exchange(port, livez.method, bytesOf(livez, [])))
}

/** What requests meet that come without a token, and with one that may do nothing. */
async function noteDenials(owner: Owner, sightings: Sightings): Promise<void> {
  const { app, services } = await openCheckedApi(owner)
  const ask = async (method: Sample['method'], url: string, token: string | null, more: Partial<Sample> = {}) => {
    const authorization = token === null ? {} : { authorization: `Bearer ${token}` }
    return await app.inject({ ...more, method, url, headers: { ...more.headers, ...authorization } })
  }
  const json = (body: object) => ({
    payload: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  })
  // It happens once to a cluster, so that nobody can try until its outcome is unknown.
  services.keys.failure = new RequestError('outcome-unknown', 'planted')
  sightings.note('POST', '/auth/bootstrap', await ask('POST', '/auth/bootstrap', null))
  const admin = (await ask('POST', '/auth/bootstrap', null)).json<{ readonly secret: string }>().secret
  const made = await ask('POST', '/auth/tokens', admin, json({ name: 'idle', roles: [] }))
  const idle = made.json<{ readonly secret: string }>().secret
  for (const { method, pattern } of sightings.operations) {
    const sample = sampleOf(method, pattern)
    for (const token of [null, idle]) {
      const answer = await ask(sample.method, sample.url, token, sample)
      if (answer.statusCode === 401 || answer.statusCode === 403) sightings.note(method, sample.url, answer)
    }
  }
  services.auth.beforeConfirmed = () => Promise.reject(new RequestError('read-timeout', 'planted'))
  for (const { method, pattern } of sightings.operations) {
    const sample = sampleOf(method, pattern)
    const answer = await ask(sample.method, sample.url, `quorate_${'x'.repeat(43)}`, sample)
    if (answer.statusCode === 503) sightings.note(method, sample.url, answer)
  }
}

/** What the writes meet that take space, in a cluster whose disks are nearly full. */
async function noteFullDisks(owner: Owner, sightings: Sightings): Promise<void> {
  const { app, services } = await openCheckedApi(owner)
  for (const { method, pattern } of sightings.operations) {
    if (!('507' in (sightings.document.paths[pattern]?.[method.toLowerCase()]?.responses ?? {}))) continue
    const sample = sampleOf(method, pattern)
    services.keys.failure = new RequestError('no-space', 'planted', { nodes: [] })
    sightings.note(method, sample.url, await app.inject({ ...sample, method: sample.method }))
  }
}

type Question = readonly [
  method: string,
  url: string,
  more?: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> },
]

/** A real node, asked over its own port. */
class Asking {
  readonly server: Server
  readonly api: string
  private readonly sightings: Sightings

  constructor(server: Server, sightings: Sightings) {
    this.server = server
    this.api = server.addresses.api
    this.sightings = sightings
  }

  async ask(...[method, url, { body, headers = {} } = {}]: Question): Promise<Answer> {
    const isValue = typeof body === 'string'
    const type = body === undefined || isValue ? {} : { 'content-type': 'application/json' }
    const sent = request(new URL(url, this.api), { method, agent: false, headers: { ...type, ...headers } })
    sent.end(isValue || body === undefined ? body : JSON.stringify(body))
    const [response] = await once(sent, 'response')
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk)
    const answer = {
      statusCode: response.statusCode,
      headers: response.headers,
      body: Buffer.concat(chunks).toString(),
    }
    this.sightings.note(method, url, answer)
    return answer
  }

  /** Begins a watch, and leaves it. */
  async watch(url: string): Promise<void> {
    const sent = request(new URL(url, this.api), { agent: false })
    sent.end()
    const [response] = await once(sent, 'response')
    const [first] = await once(response, 'data')
    this.sightings.note('GET', url, { statusCode: response.statusCode, headers: response.headers, body: String(first) })
    sent.destroy()
  }

  /** Asks again until the answer has this status. */
  async askUntil(status: number, ...question: Question): Promise<Answer> {
    return await this.askInTurns(status, question, null)
  }

  /** The same, with another question in between, which brings back what the first one may have changed. */
  async askInTurns(status: number, question: Question, between: Question | null): Promise<Answer> {
    const deadline = Date.now() + DEADLINE_MS
    for (;;) {
      const answer = await this.ask(...question)
      if (answer.statusCode === status) return answer
      if (Date.now() > deadline) throw new Error(`${question[0]} ${question[1]}: not ${status}: ${answer.body}`)
      if (between !== null) await this.ask(...between)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

function memberOf(id: number, { addresses }: Server): Readonly<Record<string, unknown>> {
  return { id, raft: addresses.raft, api: addresses.api }
}

const keyed = (key: string) => ({ 'idempotency-key': key })

const importing = (body: string, headers = {}) => ({
  body,
  headers: { 'content-type': 'application/x-ndjson', ...headers },
})

const RETENTION = { revisions: 1000, ageMs: 60_000, bytes: 1_000_000 }

const lasting = { ttlMs: 60_000 }

const reading = { success: [{ get: { key: 'a' } }] }

/** Every operation, asked as it should be, of a node that cannot do it. */
async function askAll(node: Asking, members: readonly unknown[]): Promise<void> {
  const timeout = 'timeout=200ms'
  for (const url of [`/kv/a?${timeout}`, `/kv?key=a&${timeout}`]) {
    await node.ask('PUT', url, { body: 'v' })
    await node.ask('GET', url)
    await node.ask('HEAD', url)
    await node.ask('DELETE', url)
  }
  await node.ask('POST', `/txn?${timeout}`, { body: reading })
  await node.ask('POST', `/kv?${timeout}`, importing('{"key":"a","value":"v"}'))
  await node.ask('GET', `/watch?since=999999999&${timeout}`)
  for (const path of ['history?key=a&', 'compaction?']) await node.ask('GET', `/${path}${timeout}`)
  await node.ask('POST', `/compaction?${timeout}`, { body: { revision: 1 } })
  await node.ask('PUT', `/compaction?${timeout}`, { body: RETENTION })
  await node.ask('POST', `/leases?${timeout}`, { body: lasting })
  await node.ask('POST', `/leases/7/keepalive?${timeout}`)
  for (const url of [`/leases?${timeout}`, `/leases/7?${timeout}`]) await node.ask('GET', url)
  await node.ask('DELETE', `/leases/7?${timeout}`)
  for (const url of [`/locks/l?${timeout}`, `/locks?name=l&${timeout}`]) {
    await node.ask('POST', url, { body: lasting })
    await node.ask('GET', url)
    await node.ask('DELETE', `${url}&lease=7`)
  }
  await node.ask('GET', `/locks?${timeout}`)
  const [first] = members
  await node.ask('POST', `/cluster/leader?${timeout}`)
  await node.ask('POST', '/cluster/elections')
  await node.ask('GET', `/cluster/snapshot?${timeout}`)
  await node.ask('POST', `/cluster/purge?${timeout}`)
  await node.ask('GET', '/cluster')
  await node.ask('GET', '/cluster/leader')
  await node.ask('GET', '/cluster/membership')
  await node.ask('PUT', `/cluster/membership?${timeout}`, { body: { voters: [1, 2] } })
  await node.ask('PATCH', `/cluster/membership?${timeout}`, { body: { add: [3] } })
  await node.ask('GET', `/cluster/learners?${timeout}`)
  await node.ask('POST', `/cluster/learners?${timeout}`, { body: first })
  await node.ask('DELETE', `/cluster/learners/9?${timeout}`)
  await node.ask('PUT', `/cluster/nodes/9?${timeout}`, { body: { raft: '127.0.0.1:9', api: 'http://127.0.0.1:10' } })
  for (const url of ['/livez', '/readyz', '/metrics', '/diagnostics', '/', '/version', '/openapi.json'])
    await node.ask('GET', url)
  await node.ask('GET', '/auth/self')
  for (const [method, path, body] of authQuestions) await node.ask(method, `${path}?${timeout}`, { body })
}

/** Changes of roles and tokens. */
const authQuestions: readonly (readonly [method: string, path: string, body?: object])[] = [
  ['POST', '/auth/bootstrap', { secret: 'none that anybody knows' }],
  ['POST', '/auth/bootstrap'],
  ['PUT', '/auth/roles/r', {}],
  ['DELETE', '/auth/roles/r'],
  ['POST', '/auth/tokens', { name: 'n', roles: [] }],
  ['DELETE', '/auth/tokens/7'],
]

/** Roles and tokens on a leader, under its first token. */
async function askForAuth(node: Asking): Promise<{ readonly authorization: string }> {
  for (const path of ['/auth/roles', '/auth/roles/r', '/auth/tokens', '/auth/tokens/999999'])
    await node.ask('GET', path)
  for (const [method, path, body] of authQuestions.slice(2)) await node.ask(method, path, { body })
  const made = await node.ask('POST', '/auth/bootstrap')
  await node.ask('POST', '/auth/bootstrap')
  const { secret, id } = JSON.parse(made.body) as { readonly secret: string; readonly id: number }
  const headers = { authorization: `Bearer ${secret}` }
  for (const body of [{}, { grants: [] }]) await node.ask('PUT', '/auth/roles/r', { body, headers })
  await node.ask('PUT', '/auth/roles/admin', { body: {}, headers })
  const roles = Array.from({ length: 64 }, (_, at) => ({ access: 'read', prefix: `${at}${'k'.repeat(3_000)}` }))
  for (let at = 0; at < 6; at++) await node.ask('PUT', `/auth/roles/r${at}`, { body: { grants: roles }, headers })
  for (const role of ['r', 'none'])
    await node.ask('POST', '/auth/tokens', { body: { name: 'n', roles: [role] }, headers })
  const { tokens } = JSON.parse((await node.ask('GET', '/auth/tokens', { headers })).body) as {
    readonly tokens: readonly { readonly id: number; readonly name: string }[]
  }
  const other = tokens.find(({ name }) => name === 'n')?.id ?? 0
  for (const path of [
    '/auth/roles',
    '/auth/roles/r',
    '/auth/roles/none',
    `/auth/tokens/${other}`,
    '/auth/tokens/999999',
  ])
    await node.ask('GET', path, { headers })
  await node.ask('GET', '/auth/self', { headers })
  for (const path of [
    '/auth/roles/r',
    '/auth/roles/none',
    `/auth/tokens/${id}`,
    `/auth/tokens/${other}`,
    '/auth/tokens/999999',
  ])
    await node.ask('DELETE', path, { headers })
  await node.ask('DELETE', '/auth/roles/r', { headers })
  const restore = slowDisks(1_000)
  try {
    // Long enough for the leader to confirm the token, and too short for its log.
    for (const [method, path, body] of authQuestions.slice(2))
      await node.askUntil(504, method, `${path}?timeout=300ms`, { body, headers })
  } finally {
    restore()
  }
  return headers
}

/** Asks for redirects to the leader, of a node that does not lead. */
async function askToBeRedirected(node: Asking): Promise<void> {
  const redirect = 'redirect=true'
  const addresses = { raft: '127.0.0.1:9', api: 'http://127.0.0.1:10' }
  for (const url of [`/kv/a?${redirect}`, `/kv?key=a&${redirect}`]) {
    for (const method of ['PUT', 'GET', 'HEAD', 'DELETE']) await node.askUntil(307, method, url)
  }
  await node.askUntil(307, 'POST', `/txn?${redirect}`, { body: reading })
  await node.askUntil(307, 'POST', `/kv?${redirect}`, importing(''))
  for (const path of ['history?key=a&', 'compaction?', 'watch?', 'cluster/snapshot?'])
    await node.askUntil(307, 'GET', `/${path}${redirect}`)
  await node.askUntil(307, 'POST', `/compaction?${redirect}`, { body: { revision: 1 } })
  await node.askUntil(307, 'PUT', `/compaction?${redirect}`, { body: RETENTION })
  await node.askUntil(307, 'POST', `/leases?${redirect}`, { body: lasting })
  await node.askUntil(307, 'POST', `/leases/7/keepalive?${redirect}`)
  for (const url of [`/leases?${redirect}`, `/leases/7?${redirect}`]) await node.askUntil(307, 'GET', url)
  await node.askUntil(307, 'DELETE', `/leases/7?${redirect}`)
  for (const url of [`/locks/l?${redirect}`, `/locks?name=l&${redirect}`]) {
    await node.askUntil(307, 'POST', url, { body: lasting })
    await node.askUntil(307, 'GET', url)
    await node.askUntil(307, 'DELETE', `${url}&lease=7`)
  }
  await node.askUntil(307, 'GET', `/locks?${redirect}`)
  // A body with a secret is sent on to nobody.
  for (const [method, path, body] of authQuestions.slice(1))
    await node.askUntil(307, method, `${path}?${redirect}`, { body })
  await node.askUntil(307, 'POST', `/cluster/leader?${redirect}`)
  await node.askUntil(307, 'PUT', `/cluster/membership?${redirect}`, { body: { voters: [1, 2] } })
  await node.askUntil(307, 'PATCH', `/cluster/membership?${redirect}`, { body: { add: [2] } })
  await node.askUntil(307, 'GET', `/cluster/learners?${redirect}`)
  await node.askUntil(307, 'POST', `/cluster/learners?${redirect}`, { body: { id: 9, ...addresses } })
  await node.askUntil(307, 'DELETE', `/cluster/learners/9?${redirect}`)
  await node.askUntil(307, 'PUT', `/cluster/nodes/9?${redirect}`, { body: addresses })
}

async function askForKeys(node: Asking): Promise<void> {
  for (const path of ['/kv/a', '/kv?key=a']) {
    const and = path.includes('?') ? '&' : '?'
    const put = await node.ask('PUT', path, { body: 'v', headers: keyed(`put${path}`) })
    await node.ask('PUT', path, { body: 'other', headers: keyed(`put${path}`) })
    await node.ask('PUT', path, { body: 'w', headers: { 'if-none-match': '*' } })
    for (const method of ['GET', 'HEAD']) {
      await node.ask(method, path)
      await node.ask(method, path, { headers: { 'if-none-match': String(put.headers['etag']) } })
      await node.ask(method, path.replace('a', 'absent'))
    }
    await node.ask('DELETE', path, { headers: { 'if-match': '"999999"' } })
    await node.ask('DELETE', path, { headers: keyed(`delete${path}`) })
    await node.ask('DELETE', `${path}${and}prev=true`, { headers: keyed(`delete${path}`) })
    await node.askUntil(504, 'PUT', `${path}${and}timeout=1ms`, { body: 'v' })
    await node.askUntil(504, 'DELETE', `${path}${and}timeout=1ms`)
  }
}

async function askForTransactions(node: Asking): Promise<void> {
  const headers = keyed('transaction')
  await node.ask('POST', '/txn', { body: reading, headers })
  await node.ask('POST', '/txn', { body: { failure: reading.success }, headers })
  await node.askUntil(504, 'POST', '/txn?timeout=1ms', { body: { success: [{ put: { key: 'a', value: 'v' } }] } })
}

async function askForImports(node: Asking): Promise<void> {
  const line = (value: string): string => JSON.stringify({ key: 'a', value })
  const headers = keyed('import')
  await node.ask('POST', '/kv', importing(line('v'), headers))
  await node.ask('POST', '/kv', importing(line('w'), headers))
  await node.ask('POST', '/kv', importing(line('v'.repeat(2 * 1024 * 1024))))
  await node.askUntil(504, 'POST', '/kv?timeout=1ms', importing(line('v')))
}

async function askForHistory(node: Asking): Promise<void> {
  const revision = async (): Promise<number> => {
    const { body } = await node.ask('PUT', '/kv/past', { body: 'v' })
    return (JSON.parse(body) as { readonly revision: number }).revision
  }
  const first = await revision()
  await node.ask('GET', '/history?key=past')
  await node.ask('GET', '/compaction')
  const body = { revision: await revision() }
  await node.ask('POST', '/compaction', { body, headers: keyed('compaction') })
  await node.ask('POST', '/compaction', { body: { revision: first }, headers: keyed('compaction') })
  await node.askUntil(504, 'POST', '/compaction?timeout=1ms', { body })
  await node.ask('PUT', '/compaction', { body: RETENTION, headers: keyed('retention') })
  await node.ask('PUT', '/compaction', { body: { ...RETENTION, revisions: 7 }, headers: keyed('retention') })
  await node.askUntil(504, 'PUT', '/compaction?timeout=1ms', { body: RETENTION })
  for (const method of ['GET', 'HEAD']) {
    for (const url of ['/kv/past?', '/kv?key=past&', '/kv?']) await node.ask(method, `${url}revision=${first}`)
  }
  await node.ask('GET', `/watch?since=${first}`)
}

async function askForLeases(node: Asking): Promise<void> {
  await node.ask('POST', '/leases', { body: { ...lasting, id: 7 }, headers: keyed('grant') })
  await node.ask('POST', '/leases', { body: { ...lasting, id: 7 } })
  await node.ask('POST', '/leases', { body: lasting, headers: keyed('grant') })
  await node.askUntil(504, 'POST', '/leases?timeout=1ms', { body: lasting })
  for (const url of ['/leases', '/leases/7', '/leases/8']) await node.ask('GET', url)
  for (const url of ['/kv/a?lease=8', '/kv?key=a&lease=8']) await node.ask('PUT', url, { body: 'v' })
  await node.ask('POST', '/txn', { body: { success: [{ put: { key: 'a', value: 'v', lease: 8 } }] } })
  for (const id of [7, 8]) await node.ask('POST', `/leases/${id}/keepalive`)
  await node.ask('POST', '/leases/7/keepalive', { headers: keyed('grant') })
  await node.askUntil(504, 'POST', '/leases/7/keepalive?timeout=1ms')
  await node.ask('DELETE', '/leases/7', { headers: keyed('grant') })
  await node.askUntil(504, 'DELETE', '/leases/7?timeout=1ms')
  for (const id of [6, 8]) await node.ask('POST', '/leases', { body: { ...lasting, id } })
  await node.ask('DELETE', '/leases/8')
  await node.ask('DELETE', '/leases/8')
  for (const [at, url] of ['/locks/free', '/locks?name=m'].entries()) {
    const and = url.includes('?') ? '&' : '?'
    const acquired = await node.ask('POST', url, { body: lasting, headers: keyed(`lock${at}`) })
    await node.ask('POST', url, { body: lasting })
    await node.ask('POST', url, { body: { ttlMs: 1_000 }, headers: keyed(`lock${at}`) })
    await node.askUntil(504, 'POST', `${url}${and}timeout=1ms`, { body: lasting })
    await node.ask('GET', url)
    const { lease } = JSON.parse(acquired.body) as { readonly lease: number }
    await node.ask('DELETE', `${url}${and}lease=${lease}`, { headers: keyed(`lock${at}`) })
    await node.askUntil(504, 'DELETE', `${url}${and}lease=6&timeout=1ms`)
    await node.ask('DELETE', `${url}${and}lease=${lease}`)
    await node.ask('DELETE', `${url}${and}lease=6`)
  }
}

async function askForChanges(node: Asking, third: Readonly<Record<string, unknown>>): Promise<void> {
  const stale = { 'if-match': '"999999"' }
  const elsewhere = { raft: '127.0.0.1:9', api: 'http://127.0.0.1:10' }
  await node.ask('PUT', '/cluster/membership', { body: { voters: [1, 2] }, headers: stale })
  await node.ask('PATCH', '/cluster/membership', { body: { add: [2] }, headers: stale })
  await node.ask('PUT', '/cluster/nodes/2', { body: elsewhere, headers: stale })
  await node.ask('PUT', '/cluster/membership', { body: { voters: [1, 2, 99] } })
  await node.ask('PATCH', '/cluster/membership', { body: { add: [99] } })
  await node.ask('DELETE', '/cluster/learners/9')
  await node.ask('PUT', '/cluster/nodes/9', { body: elsewhere })
  await node.ask('POST', '/cluster/leader', { body: { id: 9 } })

  const add = (timeout: string) => ['POST', `/cluster/learners?timeout=${timeout}`, { body: third }] as const
  const remove = (timeout: string) => ['DELETE', `/cluster/learners/3?timeout=${timeout}`] as const
  const change = (to: 'add' | 'remove', timeout: string) =>
    ['PATCH', `/cluster/membership?timeout=${timeout}`, { body: { [to]: [3], retain: true } }] as const
  const set = (voters: readonly number[], timeout: string) =>
    ['PUT', `/cluster/membership?timeout=${timeout}`, { body: { voters, retain: true } }] as const
  await node.askInTurns(504, add('1ms'), remove('60s'))
  await node.askUntil(200, ...add('60s'))
  await node.askUntil(200, 'GET', '/cluster/learners')
  await node.askInTurns(504, change('add', '1ms'), change('remove', '60s'))
  await node.askUntil(200, ...change('remove', '60s'))
  await node.askInTurns(504, set([1, 2, 3], '1ms'), set([1, 2], '60s'))
  await node.askUntil(200, ...set([1, 2], '60s'))
  const move = (raft: unknown, timeout: string) =>
    ['PUT', `/cluster/nodes/3?timeout=${timeout}`, { body: { raft, api: third['api'] } }] as const
  await node.askInTurns(504, move('127.0.0.1:9', '1ms'), move(third['raft'], '60s'))
  await node.askUntil(200, ...move(third['raft'], '60s'))
  await node.askInTurns(504, remove('1ms'), add('60s'))
  await node.askUntil(200, ...add('60s'))
  await node.askUntil(200, ...remove('60s'))
}

t.test('every status of the document can come of a request, and none comes that it does not have', async (t) => {
  const { document } = await openCheckedApi(t)
  const sightings = new Sightings(document)
  await noteEarly(t, sightings)
  await noteDenials(t, sightings)
  await noteFullDisks(t, sightings)

  const directory = await temporaryDirectory(t)
  const open = async (id: number): Promise<Asking> =>
    new Asking(await startTestNode(t, id, join(directory, String(id))), sightings)
  const one = await open(1)
  const two = await open(2)
  const three = await open(3)
  const members = [memberOf(1, one.server), memberOf(2, two.server)]
  const lead = async (): Promise<void> => void (await one.askUntil(200, 'POST', '/cluster/leader', { body: { id: 1 } }))
  t.comment('a node without a cluster')
  await askAll(one, members)
  await one.ask('POST', '/cluster/initialize', { body: { members: [members[1]] } })
  const alone = { ...memberOf(3, three.server), id: 3 }
  const initialize = (timeout: string, body: unknown) => ['POST', `/cluster/initialize?${timeout}`, { body }] as const
  await one.askUntil(200, ...initialize('wait=committed', { members }))
  await one.ask(...initialize('', { members }))
  await lead()
  await two.askUntil(200, 'GET', '/readyz')
  t.comment('a cluster of two')
  await askAll(one, members)
  await lead()
  await askToBeRedirected(two)
  await askForKeys(one)
  await askForImports(one)
  await askForTransactions(one)
  await one.watch('/watch')
  await askForHistory(one)
  await askForLeases(one)
  t.comment('with a third')
  await askForChanges(one, alone)
  await one.askInTurns(
    504,
    ['POST', '/cluster/leader?timeout=1ms', { body: { id: 2 } }],
    ['POST', '/cluster/leader', { body: { id: 1 } }],
  )
  await lead()
  t.comment('a node that was removed')
  await three.askUntil(503, 'POST', '/cluster/elections')
  await askAll(three, members)
  t.comment('a cluster without a majority')
  await two.server.stop()
  await one.askUntil(202, 'POST', '/cluster/elections')
  await askAll(one, members)
  t.comment('a node whose first entry is not on its disk in time, and one whose other members are not there')
  const four = await open(4)
  const slow = setInterval(() => stall(20), 1)
  await four.ask(...initialize('timeout=1ms', { members: [memberOf(4, four.server)] }))
  clearInterval(slow)
  const five = await open(5)
  const gone = { id: 6, raft: '127.0.0.1:9', api: 'http://127.0.0.1:10' }
  await five.ask(...initialize('wait=leader&timeout=300ms', { members: [memberOf(5, five.server), gone] }))

  t.comment('roles and tokens')
  const six = await open(6)
  const seven = await open(7)
  const pair = [memberOf(6, six.server), memberOf(7, seven.server)]
  await six.askUntil(200, ...initialize('wait=committed', { members: pair }))
  await six.askUntil(200, 'POST', '/cluster/leader', { body: { id: 6 } })
  const headers = await askForAuth(six)
  await seven.server.stop()
  const paths = ['/auth/roles', '/auth/roles/r0', '/auth/tokens', '/auth/tokens/7']
  await Promise.all(paths.map(async (path) => await six.askUntil(503, 'GET', path, { headers })))

  t.same([...sightings.mistakes], [], 'all answers are as documented')
  t.same(sightings.unseen(), [], 'each status was met')
})

/** Nothing that arrives meanwhile is noticed before the timers that are due by then. */
/** Every write to the logs of this process takes so much longer, until the returned function is called. */
function slowDisks(ms: number): () => void {
  const { write, writev } = fs
  const late =
    (begin: (...given: never[]) => void) =>
    (...given: never[]) =>
      void setTimeout(() => begin(...given), ms)
  Object.assign(fs, { write: late(write), writev: late(writev) })
  return () => void Object.assign(fs, { write, writev })
}

function stall(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}
