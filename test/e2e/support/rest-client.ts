import { Agent, request, type IncomingHttpHeaders } from 'node:http'
import { Agent as SecureAgent, request as secureRequest } from 'node:https'
import type { Problem } from '../../../src/http/protocol/problem.ts'

export interface RestRequest {
  readonly headers?: Readonly<Record<string, string>>
  /** Text and bytes are sent unchanged; anything else is sent as JSON. */
  readonly body?: unknown
  /** How long the node may stay silent. */
  readonly silenceMsMax?: number
}

/** There was no answer, or it broke off. `refused`: nobody listens, so the request cannot have had any effect. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered'
  readonly refused: boolean

  constructor(message: string, refused: boolean) {
    super(message)
    this.refused = refused
  }
}

export class RestAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer

  constructor(status: number, headers: IncomingHttpHeaders, body: Buffer) {
    this.status = status
    this.headers = headers
    this.body = body
  }

  get text(): string {
    return this.body.toString('utf8')
  }

  /** The body as the type that the caller expects; the tests check its content. */
  json<Body>(): Body {
    return JSON.parse(this.text) as Body
  }

  /** The problem document with its facts. Throws when the answer is not one. */
  get problem(): Problem & Readonly<Record<string, unknown>> {
    const type = this.headers['content-type'] ?? ''
    if (!type.startsWith('application/problem+json'))
      throw new Error(`no problem document: ${this.status} ${this.text}`)
    return this.json()
  }

  /** The answer in one line, for messages. */
  get summary(): string {
    return `${this.status} ${this.text.slice(0, 400)}`
  }

  header(name: string): string | null {
    const value = this.headers[name]
    return typeof value === 'string' ? value : null
  }
}

/** How a client speaks https. Each is PEM. */
export interface RestTls {
  /** The CA that is trusted. */
  readonly ca: string
  /** What the client shows where nodes demand it. */
  readonly cert?: string
  readonly key?: string
}

const silenceMsMaxDefault = 75_000

/** A client of one node, over persistent connections. */
export class RestClient {
  readonly origin: string
  private readonly agent: Agent

  /** `tls`: for a node that speaks https. */
  constructor(origin: string, tls?: RestTls) {
    this.origin = origin
    const bounds = { keepAlive: true, maxSockets: 64 }
    this.agent = tls === undefined ? new Agent(bounds) : new SecureAgent({ ...bounds, ...tls })
  }

  async request(method: string, path: string, options: RestRequest = {}): Promise<RestAnswer> {
    const { body, contentType } = encode(options.body)
    const length = body === null ? {} : { 'content-length': String(body.length) }
    const type = contentType === null ? {} : { 'content-type': contentType }
    const headers = { ...type, ...options.headers, ...length }
    return await new Promise((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException): void => {
        const where = outgoing.reusedSocket ? ' on a connection that was used before' : ''
        const message = `${method} ${this.origin}${path}: ${error.message}${where}`
        reject(new Unanswered(message, error.code === 'ECONNREFUSED'))
      }
      const timeout = options.silenceMsMax ?? silenceMsMaxDefault
      const send = this.agent instanceof SecureAgent ? secureRequest : request
      const outgoing = send(this.origin, { method, path, headers, timeout, agent: this.agent }, (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', fail)
        incoming.on('end', () => {
          resolve(new RestAnswer(incoming.statusCode ?? 0, incoming.headers, Buffer.concat(chunks)))
        })
      })
      outgoing.on('timeout', () => outgoing.destroy(new Error(`silent for ${timeout} ms`)))
      outgoing.on('error', fail)
      outgoing.end(body ?? undefined)
    })
  }

  async get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<RestAnswer> {
    return await this.request('GET', path, { headers })
  }

  async post(path: string, body?: unknown): Promise<RestAnswer> {
    return await this.request('POST', path, { body })
  }

  async putKey(key: string, value: string | Uint8Array, options: KeyOptions = {}): Promise<RestAnswer> {
    const { query = '', ...rest } = options
    return await this.request('PUT', `${keyPath(key)}${query}`, { ...rest, body: value })
  }

  async getKey(key: string, options: KeyOptions = {}): Promise<RestAnswer> {
    const { query = '', ...rest } = options
    return await this.request('GET', `${keyPath(key)}${query}`, rest)
  }

  close(): void {
    this.agent.destroy()
  }
}

export interface KeyOptions extends Omit<RestRequest, 'body'> {
  /** Includes the question mark. */
  readonly query?: string
}

/** Slashes stay as they are; every other character with a meaning in URLs is encoded. */
function keyPath(key: string): string {
  return `/kv/${key.split('/').map(encodeURIComponent).join('/')}`
}

function encode(body: unknown): { body: Buffer | null; contentType: string | null } {
  if (body === undefined) return { body: null, contentType: null }
  if (body instanceof Uint8Array) return { body: Buffer.from(body), contentType: null }
  if (typeof body === 'string') return { body: Buffer.from(body), contentType: null }
  return { body: Buffer.from(JSON.stringify(body)), contentType: 'application/json' }
}
