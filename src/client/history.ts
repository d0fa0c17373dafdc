import type { RequestOptions, WriteOptions } from './options.ts'
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
  readonly retention: Retention
}

/** What is kept of the past, for reads at a revision and for watches that begin there. */
export class History {
  private readonly requests: Requests

  /** @internal */
  constructor(requests: Requests) {
    this.requests = requests
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
