import { Agent, request } from 'node:http'
import { Agent as SecureAgent, request as secureRequest } from 'node:https'

const agent = new Agent({ keepAlive: true })
/** The nodes are this program's own, so whatever certificate they show is taken. */
const secureAgent = new SecureAgent({ keepAlive: true, rejectUnauthorized: false })

export interface Answer {
  readonly status: number
  readonly body: Buffer
}

/** Sends one request to the API. Rejects when there is no answer at all. */
export function call(
  method: string,
  url: string,
  body?: Buffer | string,
  headers: Record<string, string> = {},
  timeoutMs = 20_000,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const isSecure = url.startsWith('https:')
    const how = { method, agent: isSecure ? secureAgent : agent, headers, timeout: timeoutMs }
    const outgoing = (isSecure ? secureRequest : request)(url, how, (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks) }))
      incoming.on('error', reject)
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('timeout')))
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

export async function getJson(url: string): Promise<Record<string, unknown>> {
  const answer = await call('GET', url, undefined, {}, 2_000)
  if (answer.status !== 200) throw new Error(`GET ${url}: ${answer.status} ${answer.body.toString()}`)
  return JSON.parse(answer.body.toString()) as Record<string, unknown>
}

/** Longer than any request of the benches allows itself (`timeout=`). */
const SENT_TIMEOUT_MS = 75_000

export async function sendJson(method: string, url: string, body: unknown): Promise<Record<string, unknown>> {
  const answer = await call(method, url, JSON.stringify(body), { 'content-type': 'application/json' }, SENT_TIMEOUT_MS)
  if (answer.status >= 300) throw new Error(`${method} ${url}: ${answer.status} ${answer.body.toString()}`)
  return JSON.parse(answer.body.toString()) as Record<string, unknown>
}
