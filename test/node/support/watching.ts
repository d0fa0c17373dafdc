import type { WatchItem, WatchOptions } from '../../../src/api/services.ts'
import { keyToText, decodeRecord } from '../../../src/kv/index.ts'
import { RequestError } from '../../../src/lib/errors.ts'
import type { TestCluster } from './cluster.ts'
import { ProcessEndedError } from './life.ts'

export const EVERYTHING: WatchOptions = {
  keys: { start: null, end: null },
  puts: true,
  deletes: true,
  wantsPrevious: false,
  since: null,
  timeoutMs: 2_000,
}

/** A client that watches, and resumes at the next node when the one that it watches through fails. */
export class Watching {
  /** What it was told: one line for each revision. */
  readonly lines: string[] = []
  /** Everything up to here was told. */
  told: number | null
  error: RequestError | null = null
  resumes = 0
  progress = 0
  private stopped = false
  private readonly options: WatchOptions

  constructor(options: Partial<WatchOptions> = {}) {
    this.options = { ...EVERYTHING, ...options }
    this.told = this.options.since
  }

  /** Watches through node `id` until that watch ends. */
  async through(c: TestCluster, id: number): Promise<void> {
    const { client } = c.at(id)
    try {
      const watch = await client.watch({ ...this.options, since: this.told })
      this.told ??= watch.context.revision
      while (!this.stopped) for (const item of await client.guard(watch.next(100))) this.take(item)
      watch.close()
    } catch (error) {
      if (error instanceof RequestError) this.error = error
      else if (!(error instanceof ProcessEndedError)) throw error
    }
  }

  /** Goes from node to node until it is stopped, or its history is gone. */
  async throughAny(c: TestCluster): Promise<void> {
    for (let at = 0; !this.stopped && this.error?.code !== 'compacted'; at++) {
      const up = c.up.map(({ id }) => id)
      const id = up[at % up.length]
      if (id !== undefined) await this.through(c, id)
      this.resumes += 1
      await c.pass(20)
    }
  }

  stop(): void {
    this.stopped = true
  }

  private take(item: WatchItem): void {
    if (item.revision < (this.told ?? 0)) throw new Error(`${item.revision} after ${this.told}`)
    this.told = item.revision
    if (item.type === 'progress') this.progress += 1
    else this.lines.push(lineOf(item, this.options.wantsPrevious))
  }
}

function lineOf({ revision, changes }: Extract<WatchItem, { type: 'changes' }>, wantsPrevious: boolean): string {
  const text = (row: Uint8Array | null): string =>
    row === null ? '-' : Buffer.from(decodeRecord(row).value).toString()
  const parts = changes.map(({ key, row, previousRow }) =>
    wantsPrevious ? `${keyToText(key)}=${text(row)}(${text(previousRow)})` : `${keyToText(key)}=${text(row)}`,
  )
  return `${revision} ${parts.join(' ')}`
}
