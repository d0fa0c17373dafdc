import type { InjectOptions } from 'fastify'

/** A request that is in order, with keys, locks and names below `a/`. */
export interface Sample {
  readonly method: NonNullable<InjectOptions['method']>
  readonly url: string
  readonly payload?: string
  readonly headers: Readonly<Record<string, string>>
}

const ADDRESSES = { raft: '127.0.0.1:9', api: 'http://127.0.0.1:10' }

const BODIES: Readonly<Record<string, object>> = {
  'POST /txn': { success: [{ get: { key: 'a/k' } }], failure: [{ put: { key: 'a/k', value: 'v' } }] },
  'POST /leases': { ttlMs: 60_000 },
  'POST /locks': { ttlMs: 60_000 },
  'POST /locks/{name}': { ttlMs: 60_000 },
  'POST /compaction': { revision: 1 },
  'PUT /compaction': { revisions: 1_000, ageMs: 60_000, bytes: 1_000_000 },
  'PUT /cluster/membership': { voters: [1] },
  'PATCH /cluster/membership': { add: [2] },
  'POST /cluster/learners': { id: 9, ...ADDRESSES },
  'PUT /cluster/nodes/{id}': ADDRESSES,
  'PUT /auth/roles/{name}': { grants: [] },
  'POST /auth/tokens': { name: 'n', roles: [] },
}

const QUERIES: Readonly<Record<string, string>> = {
  'GET /kv': 'prefix=a/',
  'DELETE /kv': 'prefix=a/',
  'PUT /kv': 'key=a/k',
  'HEAD /kv': 'key=a/k',
  'GET /watch': 'prefix=a/',
  'GET /history': 'key=a/k',
  'POST /locks': 'name=a/l',
  'GET /locks': 'name=a/l',
  'DELETE /locks': 'name=a/l&lease=7',
  'DELETE /locks/{name}': 'lease=7',
}

/** For an operation of the document: its method in capitals, and its path. */
export function sampleOf(method: string, pattern: string): Sample {
  const name = `${method} ${pattern}`
  const path = pattern
    .replace('/auth/roles/{name}', '/auth/roles/r')
    .replace('{key}', 'a/k')
    .replace('{name}', 'a/l')
    .replace('{id}', '7')
  const query = QUERIES[name]
  const body = BODIES[name]
  const isRecords = name === 'POST /kv'
  const type = body === undefined ? (isRecords ? 'application/x-ndjson' : null) : 'application/json'
  const payload = body === undefined ? (isRecords ? '{"key":"a/k","value":"v"}' : null) : JSON.stringify(body)
  return {
    method: method as Sample['method'],
    url: query === undefined ? path : `${path}?${query}`,
    ...(payload === null ? {} : { payload }),
    headers: type === null ? {} : { 'content-type': type },
  }
}
