import t from 'tap'
import type { Consistency } from '../../src/api/keys.ts'
import type { ClientCommand } from '../../src/checker/operation.ts'
import type { Command, Key, Lease, Lock } from '../../src/kv/index.ts'
import type { Operation } from './history/operation.ts'
import type { KeyVersion } from '../../src/api/services.ts'
import type { CompactionView, LeasesView, LeaseView, LocksView, LockView, VersionsView, View } from './history/view.ts'
import { HistoryCheck } from './oracles/history.ts'
import {
  A,
  committed,
  heard,
  LOCK_LEASES,
  operation,
  OPTIONS,
  PLENTY,
  put,
  RAISE,
  removal,
  wrote,
} from './oracles/samples.ts'

t.test('a page of versions has each that can be told, once, down from where it begins', (t) => {
  const compact: Command = { type: 'compaction', revision: 3, idempotency: null }
  // At 0 and 2 to 6: the deletion is at 4.
  const log = [put('0'), RAISE, put('1'), put('2'), removal('x'), put('3'), put('4'), compact]
  const record = (modRevision: number, createRevision: number, version: number, value: string): KeyVersion => {
    const numbers = { createRevision, modRevision, version, lease: 0 }
    return { revision: modRevision, record: { ...numbers, value: Buffer.from(value) } }
  }
  const all = [record(6, 5, 2, '4'), record(5, 5, 1, '3'), { revision: 4, record: null }, record(3, 0, 3, '2')]
  const request = { type: 'get', key: A, consistency: 'stale', minRevision: null } as const
  const fault = (view: Partial<VersionsView>, page: Partial<VersionsView['page']>, revision = 6): string | null => {
    const shown = operation(1, request, heard({ type: 'get', record: null, revision, given: 'stale' }))
    const told = { items: all, done: true, compactedRevision: 3, ...page }
    const pages = new Map([
      [shown.request, { type: 'versions' as const, key: A, before: null, limit: 9, ...view, page: told }],
    ])
    try {
      new HistoryCheck(OPTIONS, committed(...log)).check([], { operations: [shown], pages })
      return null
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }
  t.equal(fault({}, {}), null)
  t.equal(fault({ limit: 2 }, { items: all.slice(0, 2), done: false }), null)
  t.equal(fault({ limit: 2, before: 5 }, { items: all.slice(2) }), null)
  t.equal(fault({}, { items: all.slice(2), compactedRevision: 0 }, 4)?.includes('there are'), true, 'what is older')
  t.match(
    fault({}, { items: all.toSpliced(1, 1) }),
    /6 v2 4 deleted 3 v3\], and there are \[6 v2 5 v1 4 deleted 3 v3\]/,
  )
  t.match(fault({}, { items: [...all.slice(0, 1), ...all] }), /\[6 v2 6 v2 5 v1/, 'one is doubled')
  t.match(
    fault({ before: 5 }, { items: all.slice(1) }),
    /and there are \[4 deleted 3 v3\]/,
    'the last of the page before',
  )
  t.match(fault({ limit: 2 }, { items: all.slice(0, 2) }), /and 2 more are there/)
  t.match(fault({}, { done: false }), /and 0 more are there/)
  t.match(fault({}, { compactedRevision: 2 }), /which never were together/)
  t.match(fault({}, {}, 9), /reflects revision 9, which no committed entry made/)
  t.end()
})

/** The entry at I is written and committed at 10 I. */
const TIMES = {
  writtenAt: (index: number) => index * 10,
  committedAt: (index: number) => index * 10,
  leaderWaited: () => null,
}

interface Asked {
  readonly view: View
  readonly revision?: number
  readonly given?: Consistency
  /** From when to when, in the time of the world. */
  readonly at?: readonly [number, number]
  readonly secret?: string
  readonly life?: string
}

/** What is wrong with what clients were shown, in this order; null: nothing. */
function fault(log: readonly Command[], history: readonly Operation[], ...asked: Asked[]): string | null {
  const pages = new Map<Operation['request'], View>()
  const operations = asked.map(({ view, revision = 0, given = 'stale', at = [500, 505], secret, life = '' }, id) => {
    const request = { type: 'get', key: A, consistency: given, minRevision: null } as const
    pages.set(request, view)
    const answer = { type: 'get', record: null, revision, given } as const
    const [invokedAt, returnedAt] = at
    const told = { ...heard(answer), span: { from: invokedAt, to: returnedAt }, life }
    return { ...operation(id, request, told), invokedAt, returnedAt, ...(secret === undefined ? {} : { secret }) }
  })
  try {
    new HistoryCheck(OPTIONS, committed(RAISE, ...log), TIMES).check(history, { operations, pages })
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const grant = (id: number, ttlMs = 1_000): ClientCommand => ({ type: 'lease-grant', id, ttlMs, idempotency: null })
const lease = (renewedAt: number, hasKeys = false): Lease => {
  return { ttlMs: 1_000, renewedAt, isEnding: false, grantee: '', use: { type: 'keys', hasKeys } }
}

t.test('a page of leases has those of one state with its revision, in their order', (t) => {
  const all = [
    { id: 2, lease: lease(2) },
    { id: 10, lease: lease(1) },
  ]
  const of = (view: Partial<LeasesView>, page: Partial<LeasesView['page']>): string | null => {
    const told = { items: all, more: false, ...page }
    return fault([grant(10), grant(2)], [], { view: { type: 'leases', after: null, limit: 9, ...view, page: told } })
  }
  t.equal(of({}, {}), null)
  t.equal(of({}, { items: all.slice(1) }), null, 'before the second was granted')
  t.equal(of({}, { items: [] }), null)
  t.equal(of({ limit: 1 }, { items: all.slice(0, 1), more: true }), null)
  t.equal(of({ after: 2 }, { items: all.slice(1) }), null)
  t.match(of({}, { items: all.slice(0, 1) }), /of leases .* of no state/, 'one is missing')
  t.match(of({}, { items: all.toReversed() }), /of no state/)
  t.match(of({ limit: 1 }, { items: all.slice(0, 1) }), /of no state/, 'more are there')
  t.match(of({}, { items: all.map(({ id }) => ({ id, lease: lease(1) })) }), /of no state/)
  t.end()
})

t.test('a view shows what was answered before it was asked for, and what was shown before', (t) => {
  const log = [grant(10), grant(2)]
  const one = (items: LeasesView['page']['items'], rest: Partial<Asked> = {}): Asked => {
    const view = { type: 'leases', after: null, limit: 9, page: { items, more: false } } as const
    return { view, given: 'linearizable', ...rest }
  }
  const [first, second] = [
    { id: 10, lease: lease(1) },
    { id: 2, lease: lease(2) },
  ]
  // The grant at 1 is answered at 15, the one at 2 at 25.
  const granted = [10, 2].map((id, at) => ({
    ...operation(
      at,
      { type: 'write', command: grant(id) },
      heard(wrote({ type: 'lease-granted', lease: id, ttlMs: 1_000 })),
    ),
    invokedAt: 5,
    returnedAt: at * 10 + 15,
  }))
  t.equal(fault(log, granted, one([first], { at: [22, 30] })), null, 'asked for before the answer')
  t.match(fault(log, granted, one([first], { at: [26, 30] })), /is of no state from that after the entry 2 on/)
  t.equal(fault(log, granted, one([first], { at: [26, 30], given: 'stale' })), null, 'of any age')
  t.equal(fault(log, granted, one([second, first], { at: [26, 30] })), null)
  t.match(fault(log, granted, one([second, first], { at: [12, 19] })), /of no state/, 'not committed yet')
  const later = one([first], { at: [24, 30] })
  t.equal(fault(log, granted, later), null)
  t.match(fault(log, granted, one([second, first], { at: [20, 23], given: 'stale' }), later), /after the entry 2 on/)
  t.end()
})

t.test('a lease is shown with its keys, and with the names that its client may read', (t) => {
  const hash = 'b'.repeat(64)
  const attach = (key: string): Command => {
    const lease = { type: 'granted', id: 2 } as const
    const value = Buffer.from(key)
    return {
      type: 'put',
      key: key as Key,
      value,
      lease,
      condition: null,
      wantsPrevious: false,
      idempotency: null,
      token: 0,
    }
  }
  const grants = [{ access: 'read', keys: { type: 'prefix', prefix: 'a' as Key } }] as const
  const unlimited = { expiresAt: null, requestsPerSecond: null, bytesPerSecond: null, certificateName: null }
  const created = { name: 'b', roles: ['r'], ...unlimited, hash }
  const log: Command[] = [
    grant(2),
    attach('a1'),
    attach('b1'),
    attach('a2'),
    { type: 'auth-bootstrap', name: 'root', hash: 'a'.repeat(64), idempotency: null },
    { type: 'role-put', role: { name: 'r', grants, rights: [] }, token: 5, idempotency: null },
    { type: 'token-create', created, token: 5, idempotency: null },
  ]
  const of = (keys: string[], rest: Partial<LeaseView['page']> = {}, view: Partial<LeaseView> = {}, from = 75) => {
    const told = { lease: lease(1, true), remainingMs: 900, keys: keys as Key[], more: false, lock: null, ...rest }
    const shown: LeaseView = { type: 'lease', id: 2, after: null, limit: 9, ...view, page: told }
    const asked = { view: shown, revision: 4, given: 'linearizable', secret: hash, at: [from, from + 5] } as const
    const made = { type: 'token-created', id: 7 } as const
    const command = { type: 'token-create', created, idempotency: null } as const
    const known = { ...operation(0, { type: 'write', command }, heard(wrote(made))), invokedAt: 65, returnedAt: 72 }
    return fault(log, [known], asked)
  }
  t.equal(of(['a1', 'a2']), null)
  t.match(of(['a1', 'a2', 'b1']), /of no state/, 'its token may not read b1')
  t.match(of(['a1']), /of no state/, 'it may read a2')
  t.equal(of(['a2'], {}, { after: 'a1' as Key }), null)
  t.equal(of(['a1'], { more: true }, { limit: 1 }), null)
  t.equal(of(['a1', 'a2', 'b1'], {}, {}, 45), null, 'there were no tokens yet')
  t.match(of(['a1', 'a2'], { lease: null }), /of no state/)
  t.match(of(['a1', 'a2'], { lock: 'a' as Key }), /of no state/)
  t.match(of(['a1', 'a2'], { remainingMs: 1_001 }), /says that 1001 ms are left of the lease 2, of 1000/)
  t.end()
})

t.test('a lock is shown with its holder and its queue, as of one moment', (t) => {
  const asks = (name: string, owner: string): Command => {
    return { type: 'lock-acquire', name: name as Key, ttlMs: 1_000, waitMs: 1_000, owner, idempotency: null }
  }
  const log = [asks('l', 'one'), asks('l', 'two'), asks('m', 'three')]
  const held = (at: number, owner: string, waiting: number): Lock => ({
    lease: LOCK_LEASES + at,
    token: at,
    owner,
    waiting,
  })
  const two = { lease: LOCK_LEASES + 2, owner: 'two' }
  const of = (page: LockView['page'], limit = 9): string | null =>
    fault(log, [], { view: { type: 'lock', name: 'l' as Key, limit, page } })
  t.equal(of({ lock: held(1, 'one', 1), waiters: [two] }), null)
  t.equal(of({ lock: held(1, 'one', 0), waiters: [] }), null)
  t.equal(of({ lock: null, waiters: [] }), null)
  t.match(of({ lock: held(1, 'one', 0), waiters: [two] }), /of no state/, 'the queue is of a later moment')
  t.match(of({ lock: held(1, 'two', 1), waiters: null }), /of no state/)
  const locks = (items: LocksView['page']['items'], rest: Partial<LocksView> = {}, more = false): string | null =>
    fault(log, [], {
      view: { type: 'locks', start: null, end: null, after: null, limit: 9, ...rest, page: { items, more } },
    })
  const [l, m] = [
    { name: 'l' as Key, lock: held(1, 'one', 1) },
    { name: 'm' as Key, lock: held(3, 'three', 0) },
  ]
  t.equal(locks([l, m]), null)
  t.equal(locks([l], { limit: 1 }, true), null)
  t.equal(locks([m], { after: 'l' as Key }), null)
  t.equal(locks([l], { end: 'm' as Key }), null)
  t.match(locks([{ ...l, lock: held(1, 'one', 0) }, m]), /of no state/, 'of two moments')
  t.match(locks([m]), /of no state/)
  t.end()
})

t.test('the history that is kept is that of one state, and its oldest revision never falls', (t) => {
  const compact: Command = { type: 'compaction', revision: 2, idempotency: null }
  const log = [put('1'), put('2'), put('3'), compact]
  const status = (compactedRevision: number, changes: number, bytes: number): CompactionView => {
    return { type: 'compaction', page: { compactedRevision, revision: 3, changes, bytes, retention: PLENTY } }
  }
  const [before, after] = [status(0, 3, 182), status(2, 1, 76)]
  const shown = (view: CompactionView, from: number, life = '1'): Asked => ({
    view,
    revision: 3,
    at: [from, from + 2],
    life,
  })
  t.equal(fault(log, [], shown(before, 50), shown(after, 60)), null)
  t.match(fault(log, [], shown(status(2, 3, 182), 50)), /of no state/)
  t.match(
    fault(log, [], shown(after, 50), shown(before, 60)),
    /shows 0 as the oldest revision, after 2 was shown before/,
  )
  t.equal(fault(log, [], shown(after, 50), shown(before, 60, '2')), null, 'another node may be behind')
  const confirmed = { ...shown(before, 60, '2'), given: 'linearizable' } as const
  t.match(fault(log, [], shown(after, 50), confirmed), /of no state from that after the entry 4 on/)
  t.end()
})
