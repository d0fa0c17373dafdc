/** Method, URL, body and headers of a request. `LEASE` in a URL is the lease that an answer has told last. */
export type Ask = readonly [
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  url: string,
  body?: string | object | undefined,
  headers?: Readonly<Record<string, string>> | undefined,
]

/** A write that is sent twice under one `Idempotency-Key`, with a change of somebody else's in between. */
export interface Retry {
  /** Its method and path in the OpenAPI document. */
  readonly operation: string
  /** A part of what the document says of its key. */
  readonly says: RegExp
  readonly before: readonly Ask[]
  readonly request: Ask
  readonly first: object
  readonly between: readonly Ask[]
  readonly retry: 'the first answer' | object
  /** What is there after the retry. */
  readonly after: readonly (readonly [Ask, object])[]
}

const refused = (status: number, code: string): object => ({ status, body: { code, retryable: false } })
const putA: Ask = ['PUT', '/kv/a', 'old']
const overwrite: Ask = ['PUT', '/kv/a', 'new']
const isNew = [['GET', '/kv/a'], { status: 200, body: 'new' }] as const
const lasting = { ttlMs: 60_000 }
const own = { ...lasting, id: 7 }
const NDJSON = { 'content-type': 'application/x-ndjson' }
const keepAll = { revisions: 1_000, ageMs: 60_000, bytes: 1_000_000 }
const keepFew = { ...keepAll, revisions: 10 }

function putsAt(operation: string, url: string): Retry[] {
  const and = url.includes('?') ? '&' : '?'
  const says = /gets the first answer and changes nothing, whatever has become of the key since/
  return [
    {
      operation,
      says,
      before: [putA],
      request: ['PUT', `${url}${and}prev=true`, 'mine'],
      first: { status: 200, body: { version: 2, prev: { value: 'old' } } },
      between: [overwrite],
      retry: 'the first answer',
      after: [isNew],
    },
    {
      operation,
      says,
      before: [putA],
      request: ['PUT', url, 'mine', { 'if-none-match': '*' }],
      first: { status: 412, body: { code: 'precondition-failed' } },
      between: [['DELETE', '/kv/a']],
      retry: 'the first answer',
      after: [[['GET', '/kv/a'], { status: 404 }]],
    },
  ]
}

function deletesAt(operation: string, url: string, says: RegExp): Retry {
  return {
    operation,
    says,
    before: [putA],
    request: ['DELETE', url],
    first: { status: 200, body: { deleted: 1 } },
    between: [overwrite],
    retry: 'the first answer',
    after: [isNew],
  }
}

const ofKeys: readonly Retry[] = [
  ...putsAt('PUT /kv/{key}', '/kv/a'),
  ...putsAt('PUT /kv', '/kv?key=a'),
  deletesAt('DELETE /kv/{key}', '/kv/a', /changes nothing, whatever has become of the key since/),
  deletesAt('DELETE /kv', '/kv?prefix=a', /gets the first answer, and deletes nothing that was written since/),
  deletesAt('DELETE /kv', '/kv?prefix=a&chunked=true', /deletes nothing that was written since/),
  deletesAt('DELETE /kv', '/kv?key=a', /deletes nothing that was written since/),
  {
    operation: 'POST /kv',
    says: /not written again, also when it was overwritten or deleted since; when all of it is in, the answer is the first one/,
    before: [],
    request: ['POST', '/kv', '{"key":"a","value":"old"}\n{"key":"b","value":"old"}', NDJSON],
    first: { status: 200, body: { imported: 2 } },
    between: [overwrite, ['DELETE', '/kv/b']],
    retry: 'the first answer',
    after: [isNew, [['GET', '/kv/b'], { status: 404 }]],
  },
  {
    operation: 'POST /kv',
    says: /A retry writes what is not in yet\. .* The part of the stream that was not taken may differ/,
    before: [],
    request: ['POST', '/kv', '{"key":"a","value":"old"}\n{"key":"a","value":"mine"}\nno record', NDJSON],
    first: { status: 400, body: { imported: 1 } },
    between: [overwrite],
    retry: { status: 400, body: { imported: 1 } },
    after: [isNew],
  },
  {
    operation: 'POST /txn',
    says: /changes nothing: the branch that was carried out, and what was read, are those of the first try/,
    before: [],
    request: [
      'POST',
      '/txn',
      {
        compare: [{ key: 'a', target: 'version', op: '=', value: 0 }],
        success: [{ get: { key: 'a' } }, { put: { key: 'a', value: 'mine' } }],
        failure: [{ get: { key: 'a' } }],
      },
    ],
    first: { status: 200, body: { succeeded: true, results: [{ get: { record: null } }, {}] } },
    between: [overwrite],
    retry: 'the first answer',
    after: [isNew],
  },
]

const ofLeases: readonly Retry[] = [
  {
    operation: 'POST /leases',
    says: /gets the first answer and grants nothing, also when the lease has ended since/,
    before: [],
    request: ['POST', '/leases', own],
    first: { status: 201, body: { id: 7 } },
    between: [['DELETE', '/leases/7']],
    retry: 'the first answer',
    after: [[['GET', '/leases/7'], { status: 404 }]],
  },
  {
    operation: 'POST /leases/{id}/keepalive',
    says: /carried out as the first try was, since the answer is about the present/,
    before: [['POST', '/leases', own]],
    request: ['POST', '/leases/7/keepalive'],
    first: { status: 200, body: { remainingMs: 60_000 } },
    between: [
      ['DELETE', '/leases/7'],
      ['POST', '/leases', { ...own, ttlMs: 5_000 }],
    ],
    retry: { status: 200, body: { remainingMs: 5_000 } },
    after: [],
  },
  {
    operation: 'POST /leases/{id}/keepalive',
    says: /gets `lease-not-found` when the lease has ended since/,
    before: [['POST', '/leases', own]],
    request: ['POST', '/leases/7/keepalive'],
    first: { status: 200 },
    between: [['DELETE', '/leases/7']],
    retry: refused(404, 'lease-not-found'),
    after: [],
  },
  {
    operation: 'DELETE /leases/{id}',
    says: /gets the first answer, and does not end another lease that was granted under this id since/,
    before: [
      ['POST', '/leases', own],
      ['PUT', '/kv/a?lease=7', 'x'],
    ],
    request: ['DELETE', '/leases/7'],
    first: { status: 200, body: { deleted: 1 } },
    between: [
      ['POST', '/leases', own],
      ['PUT', '/kv/a?lease=7', 'new'],
    ],
    retry: 'the first answer',
    after: [isNew, [['GET', '/leases/7'], { status: 200, body: { keys: ['a'] } }]],
  },
]

/** `POST` and `DELETE`, with the name in the path or in the query. */
function ofLocks(pattern: string, url: string): Retry[] {
  const and = url.includes('?') ? '&' : '?'
  const acquire: Ask = ['POST', url, lasting]
  const release: Ask = ['DELETE', `${url}${and}lease=LEASE`]
  const acquires = { operation: `POST ${pattern}`, request: acquire }
  const releases = { operation: `DELETE ${pattern}`, says: /gets the first answer, a refusal included, and releases/ }
  return [
    {
      ...acquires,
      says: /never takes a second place: it gets the lock that the first try got/,
      before: [],
      first: { status: 200, body: { token: Number } },
      between: [putA, ['POST', '/leases/LEASE/keepalive']],
      retry: 'the first answer',
      after: [[['GET', url], { body: { waiting: 0 } }]],
    },
    {
      ...acquires,
      says: /gets `lock-wait-ended` when the lease of the first try is over/,
      before: [],
      first: { status: 200 },
      between: [release],
      retry: refused(409, 'lock-wait-ended'),
      after: [[['GET', url], { body: { holder: null } }]],
    },
    {
      ...acquires,
      says: /`lock-held` again when the first try was refused at once, also when the lock is free by then/,
      before: [acquire],
      first: refused(409, 'lock-held'),
      between: [release],
      retry: 'the first answer',
      after: [[['GET', url], { body: { holder: null } }]],
    },
    {
      ...releases,
      before: [acquire],
      request: release,
      first: { status: 200, body: { deleted: 0 } },
      between: [acquire],
      retry: 'the first answer',
      after: [[['GET', url], { body: { holder: { token: Number } } }]],
    },
    {
      ...releases,
      before: [acquire],
      request: ['DELETE', `${url}${and}lease=7`],
      first: refused(409, 'lock-not-held'),
      between: [putA],
      retry: { status: 409, body: { code: 'lock-not-held', holder: { token: Number } } },
      after: [],
    },
  ]
}

const ofHistory: readonly Retry[] = [
  {
    operation: 'POST /compaction',
    says: /A retry changes nothing; its answer has the numbers of now/,
    before: [['PUT', '/compaction', keepAll], putA, overwrite, overwrite],
    request: ['POST', '/compaction', { revision: 2 }],
    first: { status: 200, body: { compactRevision: 2, revision: 4 } },
    between: [['POST', '/compaction', { revision: 3 }], overwrite],
    retry: { status: 200, body: { compactRevision: 3, revision: 7 } },
    after: [],
  },
  {
    operation: 'POST /compaction',
    says: /`future-revision`\) is refused again, also when there is such a revision by then/,
    before: [['PUT', '/compaction', keepAll], putA],
    request: ['POST', '/compaction', { revision: 3 }],
    first: refused(400, 'future-revision'),
    between: [overwrite, overwrite],
    retry: 'the first answer',
    after: [[['GET', '/compaction'], { body: { compactRevision: 0 } }]],
  },
  {
    operation: 'PUT /compaction',
    says: /sets nothing; its answer has the numbers of now, and the retention that somebody else may have set since/,
    before: [],
    request: ['PUT', '/compaction', keepAll],
    first: { status: 200, body: { retention: keepAll } },
    between: [['PUT', '/compaction', keepFew]],
    retry: { status: 200, body: { retention: keepFew } },
    after: [[['GET', '/compaction'], { body: { retention: keepFew } }]],
  },
]

/** All operations under whose keys first answers are kept. */
export const retries: readonly Retry[] = [
  ...ofKeys,
  ...ofLeases,
  ...ofLocks('/locks/{name}', '/locks/l'),
  ...ofLocks('/locks', '/locks?name=l'),
  ...ofHistory,
]
