import type { RecordView } from './api-types.ts'
import { pause } from './awaited.ts'
import { CompactedError, ConnectionError, ProblemError, QuorateError, type Problem } from './errors.ts'
import { eventsIn, type ServerEvent } from './event-stream.ts'
import { boundsOf, type KeyOrRange } from './ranges.ts'
import { recordFrom, type KeyRecord } from './records.ts'
import type { Requests } from './requests.ts'
import { isOfOneServer, pauseMsAfter } from './retry-policy.ts'

interface ChangeEvent {
  readonly revision: number
  readonly key: string
  /** Whether it is the last change of its revision that this watch sees: those of a transaction share one. */
  readonly isLast: boolean
  /** With `prev`: the record before, or null. */
  readonly prev?: KeyRecord | null
}

export interface PutEvent extends ChangeEvent {
  readonly kind: 'put'
  readonly record: KeyRecord
}

export interface DeleteEvent extends ChangeEvent {
  readonly kind: 'delete'
}

export type WatchEvent = PutEvent | DeleteEvent

/** All changes up to this revision have been seen. */
export interface WatchProgress {
  readonly kind: 'progress'
  readonly revision: number
}

export interface WatchOptions {
  /** Changes after this revision. Absent: changes from now on. */
  readonly since?: number | undefined
  /** Each event carries the record before it. */
  readonly prev?: boolean | undefined
  readonly types?: readonly ('put' | 'delete')[] | undefined
  /** Events also say how far the watch has come while nothing changes. Absent: false. */
  readonly progress?: boolean | undefined
  /** Aborting it ends the watch: the iteration throws the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** The iteration throws when no server could be reached for this long. Absent: it goes on trying. */
  readonly unreachableMsMax?: number | undefined
}

/** How far a watch has come. */
interface Position {
  /** All changes up to this revision have been handed on; null: the watch has not begun. */
  whole: number | null
  /** A later revision of which not all changes have been handed on, and how many have; null: there is none. */
  begun: { readonly revision: number; readonly changes: number } | null
}

/**
 * The changes of keys, in their order, each once. It goes on by itself, on another server if need be, after the last revision that was
 * handed on. Iterating over it a second time goes on where the first time ended.
 */
export interface Watch<Event = WatchEvent> extends AsyncIterable<Event> {
  /** All changes up to this revision have been handed on: a later watch can begin with `since` here. Null before the first answer. */
  readonly revision: number | null
}

/** @internal */
export class ResumingWatch implements Watch<WatchEvent | WatchProgress> {
  private readonly range: KeyOrRange
  private readonly options: WatchOptions
  private readonly requests: Requests
  private readonly position: Position
  /** When a server was last connected. */
  private reachedAt = performance.now()

  constructor(range: KeyOrRange, options: WatchOptions, requests: Requests) {
    this.range = range
    this.options = options
    this.requests = requests
    this.position = { whole: options.since ?? null, begun: null }
  }

  get revision(): number | null {
    return this.position.whole
  }

  [Symbol.asyncIterator](): AsyncGenerator<WatchEvent | WatchProgress, void, undefined> {
    const { signal } = this.options
    const left = new AbortController()
    const reading = this.connections(signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]))
    const [next, leave, fail] = [reading.next.bind(reading), reading.return.bind(reading), reading.throw.bind(reading)]
    // A generator would come to them only after the next event.
    reading.return = async (value) => {
      left.abort()
      return await leave(value)
    }
    reading.throw = async (error) => {
      left.abort()
      return await fail(error)
    }
    reading.next = async () => {
      try {
        return await next()
      } catch (error) {
        if (left.signal.aborted) return { done: true, value: undefined }
        throw error
      }
    }
    return reading
  }

  /** The events of one connection after another. */
  private async *connections(signal: AbortSignal): AsyncGenerator<WatchEvent | WatchProgress, void, undefined> {
    let failures = 0
    this.reachedAt = performance.now()
    for (;;) {
      const connection = this.connection(signal)
      try {
        for (;;) {
          // A failure of whoever reads is none of the server.
          const event = await this.nextOf(connection)
          if (event === null) break
          failures = 0
          yield event
        }
      } finally {
        await connection.return()
      }
      await pauseUnless(signal, Math.min(pauseMsAfter(failures), this.unreachableMsLeft))
      failures += 1
    }
  }

  /** Null: the connection has ended. Throws when another one would not help, or none was made for too long. */
  private async nextOf(
    connection: AsyncGenerator<WatchEvent | WatchProgress>,
  ): Promise<WatchEvent | WatchProgress | null> {
    try {
      const step = await connection.next()
      return step.done === true ? null : step.value
    } catch (error) {
      if (!isPassing(error) || this.unreachableMsLeft <= 0) throw error
      return null
    }
  }

  /** For how much longer it may be that no server is connected. */
  private get unreachableMsLeft(): number {
    const { unreachableMsMax = Number.POSITIVE_INFINITY } = this.options
    return unreachableMsMax - (performance.now() - this.reachedAt)
  }

  /** What one connection brings, until it breaks or the server ends it. */
  private async *connection(signal: AbortSignal): AsyncGenerator<WatchEvent | WatchProgress, void, undefined> {
    const { position } = this
    // A revision that was cut off in the middle is told again from its beginning, in the same order.
    const { begun } = position
    let known = begun?.changes ?? 0
    const timeoutMs = Math.max(1, Math.min(this.requests.timeoutMs, Math.ceil(this.unreachableMsLeft)))
    const { headers, pieces } = await this.requests.stream(this.call(position.whole), { signal, timeoutMs })
    position.whole ??= Number(headers['quorate-revision'])
    try {
      for await (const message of eventsIn(pieces)) {
        const event = eventFrom(message, this.requests.hasSeveralServers)
        if (event === null || isBehind(event, position.whole)) continue
        if (event.kind !== 'progress' && event.revision === begun?.revision && known > 0) {
          known -= 1
          continue
        }
        this.advance(event)
        if (event.kind !== 'progress' || this.options.progress === true) yield event
      }
    } finally {
      this.reachedAt = performance.now()
    }
  }

  private advance(event: WatchEvent | WatchProgress): void {
    const { revision } = event
    const { begun } = this.position
    if (event.kind !== 'progress' && !event.isLast) {
      this.position.begun = { revision, changes: begun?.revision === revision ? begun.changes + 1 : 1 }
      return
    }
    this.position.whole = revision
    // A node that lags behind the one before may tell of progress that has not come to the revision that was begun.
    if (begun !== null && begun.revision <= revision) this.position.begun = null
  }

  private call(since: number | null): Parameters<Requests['stream']>[0] {
    const { prev = false, types } = this.options
    return {
      method: 'GET',
      path: '/watch',
      query: {
        ...boundsOf(this.range),
        since: since === null ? undefined : String(since),
        prev: prev ? 'true' : undefined,
        types: types?.join(','),
      },
      headers: { accept: 'text/event-stream' },
      // It goes on in any case.
      retry: true,
    }
  }
}

async function pauseUnless(signal: AbortSignal, ms: number): Promise<void> {
  await pause(ms, [signal])
  signal.throwIfAborted()
}

/** Whether it says nothing new: a watch never goes back, whatever a server tells. */
function isBehind({ kind, revision }: WatchEvent | WatchProgress, whole: number | null): boolean {
  if (whole === null) return false
  return kind === 'progress' ? revision < whole : revision <= whole
}

/** Whether trying again may help. A revision that the cluster has not reached is a mistake of whoever named it. */
function isPassing(error: unknown): boolean {
  if (error instanceof ProblemError && error.code === 'future-revision') return false
  return error instanceof QuorateError && error.retryable
}

/**
 * Null: an event of a kind that this version does not know. Throws when the event says that the watch has ended, and why. `hasOthers`: there are
 * servers beside the one that tells it.
 */
function eventFrom({ type, id, data }: ServerEvent, hasOthers: boolean): WatchEvent | WatchProgress | null {
  const document = parse(data)
  if ('code' in document && 'detail' in document) throw failureFrom(document as Problem, hasOthers)
  if (type === 'progress') return { kind: type, revision: Number(id) }
  if (type !== 'put' && type !== 'delete') return null
  const { prev, ...view } = document as EventData
  const change = {
    revision: view.modRevision,
    key: view.key,
    // The last change of a revision alone has an id, since a watch can go on after it.
    isLast: id !== null,
    ...(prev === undefined ? {} : { prev: prev === null ? null : recordFrom(prev) }),
  }
  return type === 'put' ? { kind: type, ...change, record: recordFrom(view) } : { kind: type, ...change }
}

/** What the data of a change is: the record, and the one before it where that was asked for. */
type EventData = RecordView & { readonly prev?: RecordView | null; readonly [fact: string]: unknown }

/**
 * A node ends a watch whose history is gone, and one that reads too slowly; the latter goes on from where it was. So does one whose token has
 * ended, if the program has another by then, and one of a node that is removed, elsewhere.
 */
function failureFrom(problem: Problem, hasOthers: boolean): QuorateError {
  if (problem.code === 'compacted') return new CompactedError(problem)
  const mayGoOn = problem.code === 'unauthenticated' || (hasOthers && isOfOneServer(problem.code))
  return new ProblemError(mayGoOn ? { ...problem, retryable: true } : problem)
}

function parse(data: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(data) as Readonly<Record<string, unknown>>
  } catch (error) {
    throw new ConnectionError('an event of the watch is not JSON', false, { cause: error })
  }
}
