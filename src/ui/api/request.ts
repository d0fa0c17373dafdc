import { bounds } from '../bounds.ts'
import { Patience } from './patience.ts'
import { problemOf, ProblemError } from './problem.ts'
import { root } from './root.ts'
import { token } from './token.ts'

type Parameter = string | number | boolean | null | undefined

export interface Call {
  readonly method?: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'
  /** As in the API, percent-encoded: `/cluster`. */
  readonly path: string
  /** Null and undefined are left out. */
  readonly query?: Readonly<Record<string, Parameter>>
  /** Sent as JSON. */
  readonly json?: unknown
  readonly body?: Blob | Uint8Array<ArrayBuffer> | string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
  /**
   * Until the head of the answer is there, and as long again for the rest of one that is read whole. Absent: as long as it takes, or, of an
   * answer that is read whole, somewhat longer than the node may take.
   */
  readonly timeoutMs?: number
  /** Whether a reading waits for a token when the node wants one, or fails. Default: true. */
  readonly waitsForToken?: boolean
}

/** Where a call goes, for a link. */
function addressOf({ path, query = {} }: Pick<Call, 'path' | 'query'>): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === null || value === undefined ? [] : [[name, String(value)]],
  )
  const words = new URLSearchParams(given).toString()
  return `${root.href.replace(/\/$/, '')}${path}${words === '' ? '' : `?${words}`}`
}

/**
 * Sends a request to the node of this page, and gives its answer when it is one of success (or 304). Throws a ProblemError with what the node
 * says, an UnreachableError when it says nothing, and the reason of `signal`. A token is asked for when the node wants one. A reading waits for
 * it; a change does not, so that none is made later than somebody wanted it.
 */
export async function send(call: Call): Promise<Response> {
  return (await begin(call)).response
}

export async function sendForJson<Answer>(call: Call): Promise<Answer> {
  const accepting = { ...call, headers: { accept: 'application/json', ...call.headers } }
  return await sendFor(accepting, async (response) => (await response.json()) as Answer)
}

export async function sendForText(call: Call): Promise<string> {
  return await sendFor(call, async (response) => await response.text())
}

/** Gives what `read` makes of the answer, the whole of which it reads. */
export async function sendFor<Value>(call: Call, read: (response: Response) => Promise<Value>): Promise<Value> {
  const { response, patience } = await begin({ timeoutMs: answerMsMax(call), ...call })
  return await patience.forPart('the answer broke off', async () => await read(response))
}

/** After that long without an answer the node, or the way to it, is gone: a node answers before the deadline of the request. */
function answerMsMax({ query = {}, body }: Call): number {
  const [, seconds] = /^(\d+)s$/.exec(String(query['timeout'])) ?? []
  const deadlineMs = seconds === undefined ? bounds.requestTimeoutMs : Number(seconds) * 1000
  return deadlineMs + bounds.answerSlackMs + (body === undefined ? 0 : bounds.uploadMs)
}

/** An answer whose body is still to be read. */
interface Begun {
  readonly response: Response
  readonly patience: Patience
}

async function begin(call: Call): Promise<Begun> {
  for (;;) {
    const sent = token.value
    const begun = await sendOnce(call, sent)
    const { response, patience } = begun
    if (response.ok || response.status === 304) return begun
    const problem = await patience.forPart('the answer broke off', async () => await problemOf(response))
    if (response.status !== 401) throw new ProblemError(problem)
    if (!token.ask(sent, problem.detail)) continue
    if (isChange(call) || call.waitsForToken === false) throw new ProblemError(problem)
    await token.entered(call.signal)
  }
}

function isChange({ method = 'GET' }: Call): boolean {
  return method !== 'GET' && method !== 'HEAD'
}

async function sendOnce(call: Call, secret: string | null): Promise<Begun> {
  const { method = 'GET', json, body = json === undefined ? null : JSON.stringify(json), signal, timeoutMs } = call
  const headers = new Headers(call.headers)
  if (json !== undefined) headers.set('content-type', 'application/json')
  if (secret !== null) headers.set('authorization', `Bearer ${secret}`)
  // A value that an operator looks at stays out of the browser's cache.
  const init: RequestInit = { method, headers, body, cache: 'no-store', credentials: 'same-origin', redirect: 'error' }
  const patience = new Patience({ timeoutMs, signal, isChange: isChange(call) })
  const response = await patience.forPart('the node does not answer', async () => {
    return await fetch(addressOf(call), { ...init, signal: patience.signal })
  })
  return { response, patience }
}
