import { ProblemError, UnreachableError, UnreadableError, type Problem } from '../api/problem.ts'
import { bounds } from '../bounds.ts'
import type { WatchTarget } from '../data/places.ts'
import { bytesOf } from '../data/utf8.ts'
import { Store } from '../lib/store.ts'

/** A line of a watch. */
export interface WatchEvent {
  readonly type: 'put' | 'delete' | 'progress' | 'error'
  readonly revision?: number
  /** More changes of this revision follow. */
  readonly more?: true
  readonly key?: string
  readonly value?: string
  readonly valueBase64?: string
  readonly version?: number
  readonly problem?: Problem
}

export interface WatchSource {
  /** Resolves when the watch has begun. `since`: the events after that revision; null: those from now on. */
  open(target: WatchTarget, since: number | null, signal: AbortSignal): Promise<AsyncIterable<WatchEvent>>
}

/** A change in the list. Of its value only the beginning is kept. */
export interface WatchedChange {
  /** Counts up, without gaps. */
  readonly serial: number
  readonly type: 'put' | 'delete'
  readonly key: string
  readonly revision: number
  readonly version: number | null
  /** In bytes; null for a deletion. */
  readonly size: number | null
  /** Null: the value is not text, or the key was deleted. */
  readonly preview: string | null
  /** When it arrived here, by the clock of the browser. */
  readonly at: number
}

export type FeedState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  | { readonly kind: 'paused' }
  /** Disconnected; another attempt follows. */
  | { readonly kind: 'lost'; readonly why: string; readonly since: number }
  /** The node says that it cannot go on. */
  | { readonly kind: 'ended'; readonly error: ProblemError | UnreadableError }

export interface FeedView {
  readonly state: FeedState
  /** The newest first. */
  readonly changes: readonly WatchedChange[]
  /** Older changes that had to make room. */
  readonly dropped: number
  /** Up to here nothing is missing; null: the watch has not begun. */
  readonly revision: number | null
}

const NOTHING: FeedView = { state: { kind: 'connecting' }, changes: [], dropped: 0, revision: null }

/**
 * The changes of a key or a prefix as they happen, in a list of bounded length. After a break it goes on behind the last revision that it
 * has seen whole, so that nothing is missing and nothing comes twice. A pause ends the stream in the same way: however long it lasts, it
 * costs the node nothing.
 */
export class WatchFeed {
  readonly view = new Store<FeedView>(NOTHING)
  private readonly target: WatchTarget
  private readonly source: WatchSource
  private state: FeedState = NOTHING.state
  private changes: WatchedChange[] = []
  private dropped = 0
  private serial = 0
  private revision: number | null
  private running: AbortController | null = null
  private drawing: ReturnType<typeof setTimeout> | null = null

  /** `since`: where to begin; null: now. */
  constructor(target: WatchTarget, since: number | null, source: WatchSource) {
    this.target = target
    this.revision = since
    this.source = source
  }

  /** Begins, or goes on after a pause. */
  start(): void {
    if (this.running !== null) return
    const running = new AbortController()
    this.running = running
    this.turn({ kind: 'connecting' })
    void this.run(running.signal)
  }

  pause(): void {
    this.stop()
    this.turn({ kind: 'paused' })
  }

  stop(): void {
    this.running?.abort()
    this.running = null
    if (this.drawing !== null) clearTimeout(this.drawing)
    this.drawing = null
  }

  /** Leaves out what has happened meanwhile. */
  startFromNow(): void {
    this.stop()
    this.revision = null
    this.start()
  }

  clear(): void {
    this.changes = []
    this.dropped = 0
    this.draw()
  }

  private async run(signal: AbortSignal): Promise<void> {
    let failures = 0
    let lostSince = 0
    while (!signal.aborted) {
      try {
        for await (const event of this.events(signal)) {
          this.take(event)
          failures = 0
        }
        throw new UnreachableError('the node has ended the stream')
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof UnreadableError || (error instanceof ProblemError && !canGoOn(error)))
          return this.end(error)
        if (failures === 0) lostSince = Date.now()
        const why = error instanceof Error ? error.message : String(error)
        this.turn({ kind: 'lost', why, since: lostSince })
      }
      await pause(Math.min(bounds.watchRetryMsMin * 2 ** failures, bounds.watchRetryMsMax), signal)
      failures += 1
    }
  }

  /** The events of one stream. It fails when nothing comes for so long that the node must be gone. */
  private async *events(signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const silence = new AbortController()
    let timer: ReturnType<typeof setTimeout> | null = null
    const listen = (): void => {
      if (timer !== null) clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), bounds.watchSilenceMs)
    }
    listen()
    try {
      const stream = await this.source.open(this.target, this.revision, AbortSignal.any([signal, silence.signal]))
      this.changes = this.changes.filter(({ revision }) => this.revision === null || revision <= this.revision)
      this.turn({ kind: 'live' })
      for await (const event of stream) {
        if (signal.aborted) return
        listen()
        yield event
      }
    } catch (error) {
      if (silence.signal.aborted && !signal.aborted)
        throw new UnreachableError(`nothing came for ${bounds.watchSilenceMs / 1000} s`, { cause: error })
      throw error
    } finally {
      if (timer !== null) clearTimeout(timer)
    }
  }

  private take(event: WatchEvent): void {
    const { type, key, revision, problem } = event
    if (type === 'error' && problem !== undefined) throw new ProblemError(problem)
    if (revision === undefined) return
    if ((type === 'put' || type === 'delete') && key !== undefined) {
      this.changes.unshift(this.changeOf(event, type, key, revision))
      if (this.changes.length > bounds.watchedChangesMax) {
        this.dropped += this.changes.length - bounds.watchedChangesMax
        this.changes.length = bounds.watchedChangesMax
      }
    }
    if (event.more !== true) this.revision = revision
    this.drawSoon()
  }

  private changeOf(event: WatchEvent, type: 'put' | 'delete', key: string, revision: number): WatchedChange {
    const { value, valueBase64, version = null } = event
    const size = value === undefined ? sizeOfBase64(valueBase64) : bytesOf(value)
    // A copy: a piece of a text keeps the whole of it in memory.
    const preview =
      value === undefined ? null : Array.from(value.slice(0, bounds.previewCharacters).toWellFormed()).join('')
    this.serial += 1
    return { serial: this.serial, type, key, revision, version, size, preview, at: Date.now() }
  }

  private end(error: ProblemError | UnreadableError): void {
    this.running = null
    this.turn({ kind: 'ended', error })
  }

  private turn(state: FeedState): void {
    this.state = state
    this.draw()
  }

  /** Many changes at once are drawn once. */
  private drawSoon(): void {
    this.drawing ??= setTimeout(() => this.draw(), bounds.watchDrawMs)
  }

  private draw(): void {
    if (this.drawing !== null) clearTimeout(this.drawing)
    this.drawing = null
    const { state, changes, dropped, revision } = this
    this.view.set({ state, changes: [...changes], dropped, revision })
  }
}

/** Whether the watch has ended because the history behind which it would go on is gone. */
export function isCompacted(state: FeedState): boolean {
  return state.kind === 'ended' && state.error instanceof ProblemError && state.error.code === 'compacted'
}

/** Whether another attempt, to the same node, can do better. */
function canGoOn({ problem }: ProblemError): boolean {
  return problem.retryable || problem.code === 'too-slow' || problem.status >= 500
}

function sizeOfBase64(text: string | undefined): number | null {
  if (text === undefined) return null
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  return (text.length / 4) * 3 - padding
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms)
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done)
  })
}
