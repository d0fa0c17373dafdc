import { request, type IncomingMessage } from 'node:http'
import { StringDecoder } from 'node:string_decoder'
import { setTimeout as delay } from 'node:timers/promises'
import type { WatchEvent } from '../api/watches.ts'
import { limits } from '../limits.ts'
import { ConnectionError } from './exchange.ts'
import { ProblemError, type Problem } from './quorate-client.ts'

export interface WatchQuery {
  readonly key?: string | undefined
  readonly prefix?: string | undefined
  readonly start?: string | undefined
  readonly end?: string | undefined
  readonly since?: number | undefined
  readonly prev?: boolean | undefined
}

export interface WatchLinesOptions {
  /** At least one. */
  readonly servers: readonly URL[]
  /** How long it may take until the watch has begun for the first time. */
  readonly timeoutMs: number
  /** Aborting it ends the watch. */
  readonly signal: AbortSignal
}

/** A server says something more often than that, if only how far the watch is. */
const SILENCE_MS = 3 * limits.watchSignMs
const PAUSE_MS = 200

/**
 * The changes of keys, in order, each once. When a server fails, or ends the watch for a reason that another server does not have, it goes
 * on at the next one, after the last revision that it has received whole. Ends when the signal is aborted; throws when it cannot begin in
 * time, and when the history is gone that it would need to go on.
 */
export async function* watchLines(query: WatchQuery, options: WatchLinesOptions): AsyncGenerator<WatchEvent> {
  const { servers, timeoutMs, signal } = options
  const deadline = performance.now() + timeoutMs
  let { since } = query
  let hasBegun = false
  for (let at = 0; !signal.aborted; at++) {
    const server = servers[at % servers.length]
    if (server === undefined) return
    try {
      const answer = await open(server, { ...query, since }, signal)
      since ??= revisionOf(server, answer)
      hasBegun = true
      for await (const events of revisionsIn(answer)) {
        yield* events
        since = events.at(-1)?.revision ?? since
      }
    } catch (error) {
      if (signal.aborted) return
      const isOver = !hasBegun && performance.now() >= deadline
      if (isOver || !mayHelp(error)) throw error
    }
    await delay(PAUSE_MS, undefined, { signal }).catch(() => undefined)
  }
}

/** Whether asking again, perhaps elsewhere, may help. */
function mayHelp(error: unknown): boolean {
  if (error instanceof ConnectionError) return true
  if (!(error instanceof ProblemError)) return false
  const { retryable, code } = error.problem
  return code !== 'future-revision' && (retryable || code === 'removed')
}

function open(server: URL, query: WatchQuery, signal: AbortSignal): Promise<IncomingMessage> {
  const url = new URL('/watch', server)
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value))
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers: { accept: 'application/x-ndjson' }, signal, timeout: SILENCE_MS })
    sent.on('timeout', () => sent.destroy(new Error(`nothing was heard for ${SILENCE_MS / 1000} s`)))
    sent.on('error', (error: NodeJS.ErrnoException) => reject(broken(server, error)))
    sent.on('response', (answer) => {
      if (answer.statusCode === 200) return resolve(answer)
      problemIn(server, answer).then(reject, reject)
    })
    sent.end()
  })
}

/** The revision after which the watch begins. */
function revisionOf(server: URL, { headers }: IncomingMessage): number {
  const revision = Number(headers['quorate-revision'])
  if (Number.isSafeInteger(revision)) return revision
  const message = `${server.origin}: the answer names no revision: this may be no node`
  throw new ConnectionError(message, { refused: false, ambiguous: false })
}

function broken(server: URL, error: NodeJS.ErrnoException): ConnectionError {
  const reason = error.code === 'ECONNREFUSED' ? 'no server answers there (ECONNREFUSED)' : error.message
  return new ConnectionError(`${server.origin}: ${reason}`, { refused: true, ambiguous: false }, { cause: error })
}

async function problemIn(server: URL, answer: IncomingMessage): Promise<Error> {
  let text = ''
  for await (const chunk of answer.setEncoding('utf8')) text += String(chunk)
  try {
    return new ProblemError(JSON.parse(text) as Problem)
  } catch (error) {
    const message = `${server.origin}: status ${answer.statusCode} without a problem document: this may be no node`
    return new ConnectionError(message, { refused: false, ambiguous: false }, { cause: error })
  }
}

/** The events of one revision at a time. Throws the reason for which the watch ends. */
async function* revisionsIn(answer: IncomingMessage): AsyncGenerator<readonly WatchEvent[]> {
  let events: WatchEvent[] = []
  try {
    for await (const line of linesIn(answer)) {
      const event = JSON.parse(line) as WatchEvent
      if (event.type === 'error') throw new ProblemError(event.problem as Problem)
      events.push(event)
      if (event.more === true) continue
      yield events
      events = []
    }
  } catch (error) {
    if (error instanceof ProblemError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new ConnectionError(
      `the watch was cut off (${reason})`,
      { refused: false, ambiguous: false },
      { cause: error },
    )
  } finally {
    answer.destroy()
  }
}

async function* linesIn(answer: IncomingMessage): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8')
  const parts: string[] = []
  for await (const chunk of answer) {
    const [first = '', ...rest] = decoder.write(chunk as Buffer).split('\n')
    parts.push(first)
    for (const next of rest) {
      const line = parts.splice(0).join('')
      if (line !== '') yield line
      parts.push(next)
    }
  }
}
