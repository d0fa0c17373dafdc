import type { HistoryAnswer } from './api-types.ts'
import { textFrom } from './arguments.ts'
import { limits } from '../limits.ts'
import type { ReadOptions, RequestOptions, WriteOptions } from './options.ts'
import { readQuery } from './ranges.ts'
import type { Requests } from './requests.ts'

/** What is kept of the past. The first bound that is reached counts. */
export interface Retention {
  /** Revisions; 0: no history at all. */
  readonly revisions: number
  readonly ageMs: number
  readonly bytes: number
}

export interface HistoryView {
  /** The oldest revision that can be read, and after which a watch can begin. */
  readonly compactRevision: number
  /** The present one. */
  readonly revision: number
  /** How many changes are kept, and how many bytes they take. */
  readonly changes: number
  readonly bytes: number
  /** Null: not every member of the cluster knows history. */
  readonly retention: Retention | null
}

/** A record that the key had, or its deletion. */
export type KeyVersion = HistoryAnswer['items'][number]

export interface VersionsOptions extends Omit<ReadOptions, 'revision'> {
  /** At most so many. Absent: all of them. */
  readonly limit?: number | undefined
}

/** What is kept of the past, for reads at a revision and for watches that begin there. */
export class History {
  private readonly requests: Requests

  /** @internal */
  constructor(requests: Requests) {
    this.requests = requests
  }

  /** The versions of a key that can still be read, the newest first. A deletion is a version too. */
  async *versions(key: string, options: VersionsOptions = {}): AsyncGenerator<KeyVersion, void, undefined> {
    const { limit = Number.POSITIVE_INFINITY } = options
    const named = textFrom('key', key)
    let cursor: string | undefined
    for (let left = limit; left > 0;) {
      const most = String(Math.min(left, limits.listItemsMax))
      const query = { key: named, ...readQuery(options), limit: most, cursor }
      const page = await this.requests.read<HistoryAnswer>({ method: 'GET', path: '/history', query }, options)
      yield* page.items
      left -= page.items.length
      cursor = page.cursor
      if (cursor === undefined) return
    }
  }

  async status(options: RequestOptions = {}): Promise<HistoryView> {
    return await this.requests.read<HistoryView>({ method: 'GET', path: '/compaction' }, options)
  }

  /** Forgets what was before `revision`. */
  async compact(revision: number, options: WriteOptions = {}): Promise<HistoryView> {
    return await this.requests.write<HistoryView>({ method: 'POST', path: '/compaction', json: { revision } }, options)
  }

  /** Sets how much is kept, for the whole cluster. */
  async retain(retention: Retention, options: WriteOptions = {}): Promise<HistoryView> {
    const { revisions, ageMs, bytes } = retention
    const json = { revisions, ageMs, bytes }
    return await this.requests.write<HistoryView>({ method: 'PUT', path: '/compaction', json }, options)
  }
}
