import type { CountAnswer, DeleteAnswer, HistoryAnswer, ListAnswer, PutAnswer } from '../../client/api-types.ts'
import { ProblemError } from '../api/problem.ts'
import { sendFor, sendForJson, type Call } from '../api/request.ts'
import { readTerms } from '../data/read-terms.ts'
import type { Value } from '../values/value-form.ts'
import type { KeyListing, KeyRange } from './key-level.ts'
import type { WrittenLifetime } from './lifetime.ts'

/* Requests on keys. Each key goes into `?key=`: a path cannot carry every one. */

/** A key with its value. */
export interface Stored {
  readonly key: string
  readonly value: Value
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  /** 0: it belongs to none. */
  readonly lease: number
}

/** The listing that a tree reads from. */
export class NodeListing implements KeyListing {
  private readonly signal: AbortSignal

  constructor(signal: AbortSignal) {
    this.signal = signal
  }

  async list(range: KeyRange, limit: number) {
    const query = { start: range.start, end: range.end, limit, keysOnly: true, ...readTerms() }
    const { items, cursor } = await sendForJson<ListAnswer>({ path: '/kv', query, signal: this.signal })
    return { items, hasMore: cursor !== undefined }
  }
}

export async function countKeys(prefix: string, signal: AbortSignal): Promise<CountAnswer> {
  return await sendForJson({ path: '/kv', query: { prefix, countOnly: true, ...readTerms(), timeout: '60s' }, signal })
}

interface KeyReading {
  /** What the key had then; absent: what it has. */
  readonly revision?: number
  /** What the leader has, even where reads ask this node alone. */
  readonly isLatest?: boolean
}

/** What the key has, or had. Null: it is absent, or was. */
export async function readKey(
  key: string,
  signal: AbortSignal,
  { revision, isLatest = false }: KeyReading = {},
): Promise<Stored | null> {
  const { consistency, ...terms } = readTerms()
  return await read(
    { path: '/kv', query: { key, revision, ...terms, consistency: isLatest ? null : consistency }, signal },
    key,
  )
}

/** The same, but 'unchanged' without the value while the key is at `known`. */
export async function readKeyAgain(
  key: string,
  known: number,
  signal: AbortSignal,
): Promise<Stored | null | 'unchanged'> {
  return await read(
    { path: '/kv', query: { key, ...readTerms() }, headers: { 'if-none-match': `"${known}"` }, signal },
    key,
  )
}

async function read(call: Call & { readonly headers: object }, key: string): Promise<Stored | null | 'unchanged'>
async function read(call: Call, key: string): Promise<Stored | null>
async function read(call: Call, key: string): Promise<Stored | null | 'unchanged'> {
  try {
    return await sendFor(call, async (response) =>
      response.status === 304 ? 'unchanged' : await storedIn(response, key),
    )
  } catch (error) {
    if (error instanceof ProblemError && error.code === 'key-not-found') return null
    throw error
  }
}

async function storedIn(response: Response, key: string): Promise<Stored> {
  const numberIn = (name: string): number => Number(response.headers.get(`quorate-${name}`) ?? 0)
  return {
    key,
    value: new Uint8Array(await response.arrayBuffer()),
    createRevision: numberIn('create-revision'),
    modRevision: numberIn('mod-revision'),
    version: numberIn('version'),
    lease: numberIn('lease'),
  }
}

/** What has to be true of the key for it to be changed: its revision, or that it is absent. */
export type Condition = { readonly revision: number } | 'absent'

export interface KeyWrite {
  readonly key: string
  readonly value: Blob | Value
  readonly condition: Condition
  readonly lifetime: WrittenLifetime
  /** Of the attempt: a retry under this name does not write twice. */
  readonly name: string
}

export async function writeKey({ key, value, condition, lifetime, name }: KeyWrite): Promise<PutAnswer> {
  const query = { key, ...lifetimeQuery(lifetime) }
  const headers = { ...conditionHeaders(condition), 'idempotency-key': name }
  return await sendForJson({ method: 'PUT', path: '/kv', query, headers, body: value })
}

export async function deleteKey(key: string, revision: number, name: string): Promise<DeleteAnswer> {
  const headers = { ...conditionHeaders({ revision }), 'idempotency-key': name }
  return await sendForJson({ method: 'DELETE', path: '/kv', query: { key }, headers })
}

export interface VersionsPart {
  readonly limit: number
  /** Of the part before; null: the newest. */
  readonly cursor: string | null
}

export async function listVersions(key: string, part: VersionsPart, signal: AbortSignal): Promise<HistoryAnswer> {
  return await sendForJson({ path: '/history', query: { key, ...part, keysOnly: true, ...readTerms() }, signal })
}

function conditionHeaders(condition: Condition): Record<string, string> {
  return condition === 'absent' ? { 'if-none-match': '*' } : { 'if-match': `"${condition.revision}"` }
}

function lifetimeQuery(lifetime: WrittenLifetime): { readonly lease?: number; readonly ttl?: string } {
  switch (lifetime.kind) {
    case 'unlimited':
      return {}
    case 'lease':
      return { lease: lifetime.lease }
    case 'own':
      return { ttl: `${lifetime.ttlMs}ms` }
    case 'typed':
      return { ttl: lifetime.ttl }
  }
}

/** How a key that was `before` is otherwise by now, in a sentence; null: it is the same. Null as a version: it is absent. */
export function overtakenBy(present: Stored | null, before: Stored | null): string | null {
  if (present?.modRevision === before?.modRevision) return null
  return present === null ? 'The key was deleted.' : `The key is at revision ${present.modRevision}.`
}
