import type {
  CountAnswer,
  DeleteAnswer,
  ListAnswer,
  PutAnswer,
  TransactionAnswer,
  TransactionBody,
} from './api-types.ts'
import { bytesFrom, textFrom } from './arguments.ts'
import { AuthClient } from './auth-client.ts'
import { Bulk, isForLeader, type ImportResult, type ImportSource, type LineStream } from './bulk.ts'
import { ClusterClient } from './cluster-client.ts'
import { History } from './history.ts'
import { Leases, type Lease, type LeaseOptions } from './leases.ts'
import {
  Locks,
  type Lock,
  type LockListOptions,
  type LockOptions,
  type LockStatus,
  type LockStatusOptions,
} from './locks.ts'
import { settingsFrom, type ClientOptions, type ReadOptions, type WriteOptions } from './options.ts'
import { ProblemError } from './errors.ts'
import { boundsOf, isBounded, readQuery, type KeyOrRange, type Range } from './ranges.ts'
import { headFrom, recordFrom, recordFromAnswer, type KeyHead, type KeyRecord, type Value } from './records.ts'
import { failureOf, Requests, type Call } from './requests.ts'
import { TransactionBuilder, type Transaction } from './transaction.ts'
import { ResumingWatch, type Watch, type WatchEvent, type WatchOptions, type WatchProgress } from './watch.ts'
import { limits } from '../limits.ts'

export interface WriteConditions {
  /** Only when the key is at this revision. */
  readonly ifRevision?: number | undefined
  /** Only when the key is absent. */
  readonly ifAbsent?: boolean | undefined
  /** Only when the key is there, at whatever revision. */
  readonly ifPresent?: boolean | undefined
}

export interface PutOptions extends WriteOptions, WriteConditions {
  /** The key goes when this lease ends. */
  readonly lease?: number | undefined
  /** The key goes this long after it was written: it gets a lease of its own. */
  readonly ttlMs?: number | undefined
  /** The result carries the record before. */
  readonly prev?: boolean | undefined
}

export interface DeleteOptions extends WriteOptions, Omit<WriteConditions, 'ifAbsent'> {
  readonly prev?: boolean | undefined
}

export interface DeleteRangeOptions extends WriteOptions {
  /** In as many changes as it takes, each atomic. Absent: as one change, which has a bound. */
  readonly chunked?: boolean | undefined
}

/** The record before, where it was asked for. */
export interface Previous {
  /** Null: there was none. */
  readonly prev?: KeyRecord | null
  /** In place of `prev` in the answer to a late retry: the record without its value, which was too large to be kept for so long. */
  readonly prevForgotten?: KeyHead
}

export type PutResult = Omit<PutAnswer, keyof Before> & Previous
export type DeleteResult = Omit<DeleteAnswer, keyof Before> & Previous
type Before = Pick<PutAnswer, 'prev' | 'prevValueForgotten'>

export interface ListOptions extends ReadOptions {
  /** How many records at most. Absent: all. */
  readonly limit?: number | undefined
  /** From the last to the first. */
  readonly reverse?: boolean | undefined
}

/**
 * A Quorate cluster. Methods reject with a `QuorateError`, or with the reason of a signal that was aborted; mistakes in arguments that no
 * server is needed to see are a `TypeError`.
 *
 * A request that a server cannot serve goes on to the next one until the time is up. Every write carries an idempotency key, so that one
 * whose answer was lost can be repeated without being applied twice. What is left open all the same is an `AmbiguousOutcomeError`.
 */
export class QuorateClient {
  readonly cluster: ClusterClient
  readonly auth: AuthClient
  readonly leases: Leases
  readonly history: History
  private readonly requests: Requests
  private readonly locks: Locks
  private readonly bulk: Bulk

  constructor(options: ClientOptions) {
    this.requests = new Requests(settingsFrom(options))
    this.cluster = new ClusterClient(this.requests)
    this.auth = new AuthClient(this.requests)
    this.leases = new Leases(this.requests)
    this.history = new History(this.requests)
    this.locks = new Locks(this.requests)
    this.bulk = new Bulk(this.requests)
  }

  /** Ends every request, and keeps no lease alive any longer. */
  close(): void {
    this.requests.close()
  }

  async put(key: string, value: Value, options: PutOptions = {}): Promise<PutResult> {
    const { lease, ttlMs, prev } = options
    const query = {
      key: textFrom('key', key),
      lease: lease === undefined ? undefined : String(lease),
      ttl: ttlMs === undefined ? undefined : `${ttlMs}ms`,
      prev: prev === true ? 'true' : undefined,
    }
    const headers = { 'content-type': 'application/octet-stream', ...conditionsOf(options) }
    const call = {
      method: 'PUT',
      path: '/kv',
      query,
      headers,
      body: bytesFrom('value', value),
      isForLeader: true,
    } as const
    return withPrevious(await this.requests.write<PutAnswer>(call, options))
  }

  /** The record, or null when the key is absent. */
  async get(key: string, options: ReadOptions = {}): Promise<KeyRecord | null> {
    const query = { key: textFrom('key', key), ...readQuery(options) }
    const headers = { accept: 'application/octet-stream' }
    const call: Call = { method: 'GET', path: '/kv', query, headers, isForLeader: isForLeader(options) }
    const answer = await this.requests.exchange(call, options)
    // Any web server answers 200. Only a node tells the revisions of the record.
    const record = answer.status === 200 ? recordFromAnswer(key, answer.headers, answer.body) : null
    if (record !== null) return record
    const failure = failureOf(call, answer)
    if (failure instanceof ProblemError && failure.code === 'key-not-found') return null
    throw failure
  }

  async delete(key: string, options: DeleteOptions = {}): Promise<DeleteResult> {
    const query = { key: textFrom('key', key), prev: options.prev === true ? 'true' : undefined }
    const call = { method: 'DELETE', path: '/kv', query, headers: conditionsOf(options), isForLeader: true } as const
    return withPrevious(await this.requests.write<DeleteAnswer>(call, options))
  }

  /** Deletes every key of the range. `'all'` deletes every key there is: an empty range does not, since an unset variable makes one too. */
  async deleteRange(range: Range | 'all', options: DeleteRangeOptions = {}): Promise<DeleteAnswer> {
    if (range !== 'all' && !isBounded(range)) {
      throw new TypeError("the range has no bounds, which would delete every key: to do that, name the range 'all'")
    }
    const bounds = range === 'all' ? { all: 'true' } : boundsOf(range)
    const isInParts = options.chunked === true
    const query = { ...bounds, chunked: isInParts ? 'true' : undefined }
    const call = { method: 'DELETE', path: '/kv', query, isForLeader: true, isInParts } as const
    return await this.requests.write<DeleteAnswer>(call, options)
  }

  /** The records of a range in the order of their keys, page by page. */
  list(range: Range = {}, options: ListOptions = {}): AsyncGenerator<KeyRecord, void, undefined> {
    return this.pages(range, options, false, recordFrom)
  }

  /** The same, without the values. */
  listKeys(range: Range = {}, options: ListOptions = {}): AsyncGenerator<KeyHead, void, undefined> {
    return this.pages(range, options, true, headFrom)
  }

  async count(range: Range = {}, options: ReadOptions = {}): Promise<CountAnswer> {
    const query = { ...boundsOf(range), ...readQuery(options), countOnly: 'true' }
    const call = { method: 'GET', path: '/kv', query, isForLeader: isForLeader(options) } as const
    return await this.requests.read<CountAnswer>(call, options)
  }

  /**
   * The records of a range as one stream and one view of the store, of any length. Rejects when the stream is cut off: what came
   * until then is not the whole range.
   */
  export(range: Range = {}, options: ReadOptions = {}): AsyncGenerator<KeyRecord, void, undefined> {
    return this.bulk.export(range, options)
  }

  /** Writes many records as one stream. It is not one change: the `ProblemError` of an import that fails tells how many are written. */
  async import(source: ImportSource, options: WriteOptions = {}): Promise<ImportResult> {
    return await this.bulk.import(source, options)
  }

  /** An export as the lines of JSON that the API sends. */
  async exportLines(range: Range = {}, options: ReadOptions = {}): Promise<LineStream> {
    return await this.bulk.exportLines(range, options)
  }

  /** An import of lines of JSON, as `exportLines` gives them. */
  async importLines(pieces: AsyncIterable<Uint8Array>, options: WriteOptions = {}): Promise<ImportResult> {
    return await this.bulk.importLines(pieces, options)
  }

  /** Begins to put a transaction together: `client.transaction().if(...).do(...).else(...).commit()`. */
  transaction(): Transaction {
    return new TransactionBuilder({ compares: [], success: [], failure: [] }, async (body, options) => {
      return await this.sendTransaction(body, options)
    })
  }

  /** A transaction in the shape of the API, or as the JSON that somebody wrote. */
  async sendTransaction(body: TransactionBody | Uint8Array, options: WriteOptions = {}): Promise<TransactionAnswer> {
    const headers = { 'content-type': 'application/json' }
    const bytes = body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body))
    const call = { method: 'POST', path: '/txn', headers, body: bytes, isForLeader: true } as const
    return await this.requests.write<TransactionAnswer>(call, options)
  }

  /** The changes of a key or a range, in their order, each once. It goes on by itself when a server fails. */
  watch(range: KeyOrRange, options: WatchOptions & { readonly progress: true }): Watch<WatchEvent | WatchProgress>
  watch(range?: KeyOrRange, options?: WatchOptions & { readonly progress?: false | undefined }): Watch
  watch(range: KeyOrRange = {}, options: WatchOptions = {}): Watch<WatchEvent | WatchProgress> {
    return new ResumingWatch(range, options, this.requests)
  }

  /** A new lease that is kept alive until it is released. */
  async lease(options: LeaseOptions): Promise<Lease> {
    return await this.leases.keep(options)
  }

  /** Waits for a lock, and holds it until it is released. Waiters are served in their order. */
  async lock(name: string, options: LockOptions = {}): Promise<Lock> {
    return await this.locks.lock(name, options)
  }

  /** The lock, or null when somebody else holds it. */
  async tryLock(name: string, options: Omit<LockOptions, 'waitMs'> = {}): Promise<Lock | null> {
    try {
      return await this.locks.lock(name, { ...options, waitMs: 0 })
    } catch (error) {
      if (error instanceof ProblemError && error.code === 'lock-held') return null
      throw error
    }
  }

  /** Who holds a lock, and who waits for it. */
  async lockStatus(name: string, options: LockStatusOptions = {}): Promise<LockStatus> {
    return await this.locks.status(name, options)
  }

  /** The locks that somebody holds, with names in `range`, in the order of the bytes of the names, page by page. */
  listLocks(range: Range = {}, options: LockListOptions = {}): AsyncGenerator<LockStatus, void, undefined> {
    return this.locks.list(range, options)
  }

  private async *pages<Item>(
    range: Range,
    options: ListOptions,
    keysOnly: boolean,
    itemFrom: (view: ListAnswer['items'][number]) => Item,
  ): AsyncGenerator<Item, void, undefined> {
    const { limit = Number.POSITIVE_INFINITY, reverse } = options
    const bounds = { ...boundsOf(range), ...readQuery(options) }
    let cursor: string | undefined
    for (let left = limit; left > 0;) {
      const query = {
        ...bounds,
        limit: String(Math.min(left, limits.listItemsMax)),
        keysOnly: keysOnly ? 'true' : undefined,
        reverse: reverse === true ? 'true' : undefined,
        cursor,
      }
      const call = { method: 'GET', path: '/kv', query, isForLeader: isForLeader(options) } as const
      const page: ListAnswer = await this.requests.read<ListAnswer>(call, options)
      for (const item of page.items) yield itemFrom(item)
      left -= page.items.length
      cursor = page.cursor
      if (cursor === undefined) return
    }
  }
}

function conditionsOf({ ifRevision, ifAbsent, ifPresent }: WriteConditions): Readonly<Record<string, string>> {
  if ([ifRevision !== undefined, ifAbsent === true, ifPresent === true].filter(Boolean).length > 1) {
    throw new TypeError('ifRevision, ifAbsent and ifPresent are three conditions: give one of them')
  }
  if (ifAbsent === true) return { 'if-none-match': '*' }
  if (ifPresent === true) return { 'if-match': '*' }
  return ifRevision === undefined ? {} : { 'if-match': `"${ifRevision}"` }
}

function withPrevious<Answer extends Before>(answer: Answer): Omit<Answer, keyof Before> & Previous {
  const { prev, prevValueForgotten, ...rest } = answer
  if (prev === undefined) return rest
  if (prev !== null && prevValueForgotten === true) return { ...rest, prevForgotten: headFrom(prev) }
  return { ...rest, prev: prev === null ? null : recordFrom(prev) }
}
