import { QuorateClient } from '../../../src/client/quorate-client.ts'
import type { KeyOrRange } from '../../../src/client/ranges.ts'
import type { WatchEvent, WatchProgress } from '../../../src/client/watch.ts'
import { toError } from '../../../src/lib/to-error.ts'

/** A client that watches through several nodes in turn, and checks what it is told. */
export class Follower {
  /** What it was told: revision, kind, key and value of each change. */
  readonly lines: string[] = []
  /** Everything up to here was told. */
  told: number
  failure: Error | null = null
  private readonly interrupted = new AbortController()
  private readonly running: Promise<void>

  constructor(servers: readonly string[], since: number, range: KeyOrRange = {}) {
    this.told = since
    this.running = this.follow(new QuorateClient({ servers }), range)
  }

  async stop(): Promise<void> {
    this.interrupted.abort()
    await this.running
  }

  private async follow(client: QuorateClient, range: KeyOrRange): Promise<void> {
    const { signal } = this.interrupted
    try {
      for await (const event of client.watch(range, { since: this.told, progress: true, signal })) this.take(event)
    } catch (error) {
      if (!signal.aborted) this.failure = toError(error)
    } finally {
      client.close()
    }
  }

  private take(event: WatchEvent | WatchProgress): void {
    const { revision, kind } = event
    if (revision < this.told) this.failure ??= new Error(`revision ${revision} was told after ${this.told}`)
    this.told = revision
    if (event.kind === 'progress') return
    this.lines.push(`${revision} ${kind} ${event.key} ${event.kind === 'put' ? event.record.text : ''}`)
  }
}

/** The first difference between two lists of changes; null when there is none. */
export function firstDifference(one: readonly string[], other: readonly string[]): string | null {
  const length = Math.max(one.length, other.length)
  for (let at = 0; at < length; at++) if (one[at] !== other[at]) return `change ${at}: ${one[at]} / ${other[at]}`
  return null
}
