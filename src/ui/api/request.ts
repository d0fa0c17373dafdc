import { problemOf, ProblemError, UnreachableError } from './problem.ts'
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
  /** Until the head of the answer is there. Absent: as long as it takes. */
  readonly timeoutMs?: number
}

/** The page stands below the API: `/ui/`, or a longer path behind a proxy. */
const root = new URL('..', document.baseURI)

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
  for (;;) {
    const sent = token.value
    const response = await sendOnce(call, sent)
    if (response.ok || response.status === 304) return response
    const problem = await problemOf(response)
    if (response.status !== 401) throw new ProblemError(problem)
    if (!token.ask(sent, problem.detail)) continue
    if (isChange(call)) throw new ProblemError(problem)
    await token.entered(call.signal)
  }
}

export async function sendForJson<Answer>(call: Call): Promise<Answer> {
  const response = await send({ ...call, headers: { accept: 'application/json', ...call.headers } })
  try {
    return (await response.json()) as Answer
  } catch (error) {
    call.signal?.throwIfAborted()
    throw new UnreachableError('the answer broke off', { cause: error, isChange: isChange(call) })
  }
}

export async function sendForText(call: Call): Promise<string> {
  const response = await send(call)
  try {
    return await response.text()
  } catch (error) {
    call.signal?.throwIfAborted()
    throw new UnreachableError('the answer broke off', { cause: error, isChange: isChange(call) })
  }
}

function isChange({ method = 'GET' }: Call): boolean {
  return method !== 'GET' && method !== 'HEAD'
}

async function sendOnce(call: Call, secret: string | null): Promise<Response> {
  const { method = 'GET', json, body = json === undefined ? null : JSON.stringify(json), signal, timeoutMs } = call
  const headers = new Headers(call.headers)
  if (json !== undefined) headers.set('content-type', 'application/json')
  if (secret !== null) headers.set('authorization', `Bearer ${secret}`)
  // A value that an operator looks at stays out of the browser's cache.
  const init: RequestInit = { method, headers, body, cache: 'no-store', credentials: 'same-origin', redirect: 'error' }
  const late = new AbortController()
  const timer = timeoutMs === undefined ? null : setTimeout(() => late.abort(), timeoutMs)
  const signals = [late.signal, ...(signal === undefined ? [] : [signal])]
  try {
    return await fetch(addressOf(call), { ...init, signal: AbortSignal.any(signals) })
  } catch (error) {
    signal?.throwIfAborted()
    const why = late.signal.aborted
      ? `there was no answer within ${(timeoutMs ?? 0) / 1000} s`
      : 'the node does not answer'
    throw new UnreachableError(why, { cause: error, isChange: isChange(call) })
  } finally {
    if (timer !== null) clearTimeout(timer)
  }
}
