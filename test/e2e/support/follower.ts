import type { WatchEvent } from '../../../src/api/watches.ts'
import { watchLines, type WatchQuery } from '../../../src/client/watch-lines.ts'
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

  constructor(servers: readonly string[], query: WatchQuery & { readonly since: number }) {
    this.told = query.since
    this.running = this.follow(servers, query)
  }

  async stop(): Promise<void> {
    this.interrupted.abort()
    await this.running
  }

  private async follow(servers: readonly string[], query: WatchQuery): Promise<void> {
    const { signal } = this.interrupted
    const options = { servers: servers.map((server) => new URL(server)), timeoutMs: 60_000, signal }
    try {
      for await (const event of watchLines(query, options)) this.take(event)
    } catch (error) {
      this.failure = toError(error)
    }
  }

  private take({ type, revision = 0, key, value }: WatchEvent): void {
    if (revision < this.told) this.failure ??= new Error(`revision ${revision} was told after ${this.told}`)
    this.told = revision
    if (type === 'put' || type === 'delete') this.lines.push(`${revision} ${type} ${key} ${value ?? ''}`)
  }
}

/** The first difference between two lists of changes; null when there is none. */
export function firstDifference(one: readonly string[], other: readonly string[]): string | null {
  const length = Math.max(one.length, other.length)
  for (let at = 0; at < length; at++) if (one[at] !== other[at]) return `change ${at}: ${one[at]} / ${other[at]}`
  return null
}
