import { lengthOf, type Key } from '../../../src/kv/index.ts'
import { hasRight, type AuthVersion } from '../../kv/support/auth-model.ts'
import {
  keysOf,
  leaseInWords,
  leasesAmong,
  lockInWords,
  lockOf,
  locksAmong,
  waitersOf,
} from '../../kv/support/lease-model.ts'
import type { ModelState } from '../../kv/support/reference-model.ts'
import type { Operation } from '../history/operation.ts'
import type { CompactionView, LeasesView, LeaseView, LocksView, LockView, VersionsView, View } from '../history/view.ts'
import type { TimesOfLog } from './entry-times.ts'
import type { ExecutedLog } from './executed-log.ts'
import type { LogFloors } from './log-floors.ts'
import { objectTo } from './objection.ts'
import { isAlike } from './plain.ts'

export type StoreView = Exclude<View, VersionsView>

export interface Shown<One extends StoreView = StoreView> {
  readonly operation: Operation
  readonly view: One
  /** What it claims to reflect. */
  readonly revision: number
  /** Up to this moment everything that was answered is in it; null: it may be of any age. */
  readonly freshAt: number | null
}

interface Moment {
  readonly index: number
  readonly state: ModelState
}

interface Judged {
  readonly index: number
  readonly at: number
}

/**
 * A view of leases, of locks or of the history that is kept is of one state of the store, with the revision that it claims. It is no older than
 * what was answered before it was asked for, whether that was a change or another view, and no state that was not committed yet. Where there are
 * tokens, it shows of keys and of names of locks those that its client may read, and none that it may not.
 */
export class StoreViews {
  /** Views of each kind, and those from which something was left out for want of a right. */
  leases = 0
  locks = 0
  compactions = 0
  concealed = 0
  private readonly log: ExecutedLog
  private readonly times: TimesOfLog
  private readonly floors: LogFloors
  /** The earliest state that each view can be of that was answered. */
  private readonly judged: Judged[] = []

  constructor(log: ExecutedLog, times: TimesOfLog, floors: LogFloors) {
    this.log = log
    this.times = times
    this.floors = floors
  }

  check(shown: readonly Shown[]): void {
    for (const one of [...shown].sort((a, b) => a.operation.invokedAt - b.operation.invokedAt)) {
      const from = this.floorOf(one)
      const until = one.operation.returnedAt
      const moment = this.momentsOf(one, from, until).find(({ state }) => this.isOf(one, state, from))
      if (moment === undefined) this.object(one, from)
      this.judged.push({ index: moment.index, at: until })
      this.count(one)
    }
    this.checkBounds(shown.flatMap((one) => (isKind(one, 'compaction') ? [one] : [])))
  }

  private count(one: Shown): void {
    if (isKind(one, 'compaction')) this.compactions += 1
    else if (isKind(one, 'lock') || isKind(one, 'locks')) this.locks += 1
    else this.leases += 1
    if (isKind(one, 'lease')) this.checkRemaining(one)
  }

  /** The index of the last entry that it has to show. */
  private floorOf({ freshAt }: Shown): number {
    if (freshAt === null) return -1
    const seen = this.judged.filter(({ at }) => at < freshAt).map(({ index }) => index)
    return Math.max(this.floors.before(freshAt), ...seen)
  }

  /** The states with the revision that it claims, from that after the entry at `from` on, as far as they were committed by `until`. */
  private momentsOf({ view, revision }: Shown, from: number, until: number): Moment[] {
    // The row of a lock may be from later than what is claimed.
    const mayBeLater = view.type === 'lock' && view.page.waiters === null
    const moments: Moment[] = []
    for (const moment of this.log.model.statesFrom(Math.max(from, revision))) {
      const { index, state } = moment
      if (index >= 0 && this.times.committedAt(index) > until) break
      if (state.revision > revision && !mayBeLater) break
      if (state.revision >= revision) moments.push(moment)
    }
    return moments
  }

  private isOf(one: Shown, state: ModelState, from: number): boolean {
    if (isKind(one, 'leases')) return isPageOfLeases(one.view, state)
    if (isKind(one, 'lease')) return this.isLeaseOf(one, state, from)
    if (isKind(one, 'lock')) return isLockOf(one.view, state)
    if (isKind(one, 'locks')) return isPageOfLocks(one.view, state)
    return isKind(one, 'compaction') && isHistoryOf(one.view, state)
  }

  private isLeaseOf({ operation, view }: Shown<LeaseView>, { leases }: ModelState, from: number): boolean {
    const { id, after, limit, page } = view
    const words = leasesAmong(leases).find((one) => one.id === id)?.words ?? null
    const told = page.lease === null ? null : leaseInWords(id, page.lease)
    if (words !== told) return false
    const all = keysOf(leases, id).filter((key) => after === null || key > after)
    const keys = all.slice(0, limit)
    const lock = lockOf(leases, id)
    if (page.more !== all.length > limit) return false
    const versions = this.versionsOf(operation, from)
    const mayRead = (version: AuthVersion, key: Key): boolean => this.mayRead(version, operation, key)
    const asKeys = versions.some((version) =>
      isAlike(
        page.keys,
        keys.filter((key) => mayRead(version, key)),
      ),
    )
    const asLock = versions.some((version) => page.lock === (lock !== null && mayRead(version, lock) ? lock : null))
    if (asKeys && asLock && (page.keys.length < keys.length || page.lock !== lock)) this.concealed += 1
    return asKeys && asLock
  }

  /** The roles and tokens by which something may have been left out: no older than what the view has to show. */
  private versionsOf({ returnedAt }: Operation, from: number): AuthVersion[] {
    const { versions } = this.log.model.auth
    const first = versions.findLastIndex(({ index }) => index <= from)
    return versions
      .slice(Math.max(0, first))
      .filter(({ index }) => index < 0 || this.times.committedAt(index) <= returnedAt)
  }

  /** Whether its token may still do anything is judged with the rights. What it may read follows from its roles, which stay the same. */
  private mayRead({ auth }: AuthVersion, { secret = null }: Operation, key: Key): boolean {
    if (auth === null) return true
    const tokens = this.log.model.auth.versions.flatMap((version) => [...(version.auth?.tokens.values() ?? [])])
    const token = tokens.find(({ hash }) => hash === secret)
    return token !== undefined && hasRight(auth, token, { access: 'read', key })
  }

  /** Nobody is told that a lease has more time left than it ever had. */
  private checkRemaining({ operation, view: { id, page } }: Shown<LeaseView>): void {
    if (page.lease === null) return
    const lengths = this.log.model.leases.moments
      .filter(({ lease, index }) => lease === id && this.times.committedAt(index) <= operation.returnedAt)
      .map(({ lengthMs }) => lengthMs)
    const longest = Math.max(lengthOf(page.lease), ...lengths)
    if (page.remainingMs >= 0 && page.remainingMs <= longest) return
    objectTo(operation, 'lease-views', `says that ${page.remainingMs} ms are left of the lease ${id}, of ${longest}`)
  }

  /** The oldest revision that can be read never becomes an older one: in real time, and in one life of a node. */
  private checkBounds(shown: readonly Shown<CompactionView>[]): void {
    for (const [at, { operation, view, freshAt }] of shown.entries()) {
      const { life, span } = operation.heard?.[0] ?? {}
      const before = shown.find((one, nth) => {
        if (nth === at || one.view.page.compactedRevision <= view.page.compactedRevision) return false
        const other = one.operation.heard?.[0]
        const isOfSameLife = life !== undefined && other?.life === life && span !== undefined
        const isEarlierThere = isOfSameLife && (other.span?.to ?? Infinity) < span.from
        return isEarlierThere || (freshAt !== null && one.operation.returnedAt < freshAt)
      })
      if (before === undefined) continue
      const what = `${view.page.compactedRevision} as the oldest revision, after ${before.view.page.compactedRevision}`
      objectTo(operation, 'compaction-views', `shows ${what} was shown before`)
    }
  }

  private object({ operation, view, revision }: Shown, from: number): never {
    const { type, ...facts } = view
    const oracle = type === 'lock' || type === 'locks' ? 'lock-views' : `${type === 'leases' ? 'lease' : type}-views`
    const what = `${JSON.stringify(facts)} of ${type} with the revision ${revision}`
    return objectTo(operation, oracle, `shows ${what}, which is of no state from that after the entry ${from} on`)
  }
}

function isKind<Type extends StoreView['type']>(
  one: Shown,
  type: Type,
): one is Shown<Extract<StoreView, { type: Type }>> {
  return one.view.type === type
}

function isPageOfLeases({ after, limit, page }: LeasesView, { leases }: ModelState): boolean {
  const left = leasesAmong(leases)
    .filter(({ id }) => after === null || id > after)
    .sort((a, b) => a.id - b.id)
  const expected = left.slice(0, limit).map(({ words }) => words)
  const told = page.items.map(({ id, lease }) => leaseInWords(id, lease))
  return page.more === left.length > limit && isAlike(told, expected)
}

function isLockOf({ name, limit, page }: LockView, { leases }: ModelState): boolean {
  const words = locksAmong(leases).find((one) => one.name === name)?.words ?? null
  if (words !== (page.lock === null ? null : lockInWords(name, page.lock))) return false
  return page.waiters === null || isAlike(page.waiters, waitersOf(leases, name).slice(0, limit))
}

function isPageOfLocks({ start, end, after, limit, page }: LocksView, { leases }: ModelState): boolean {
  const left = locksAmong(leases).filter(
    ({ name }) => (start === null || name >= start) && (end === null || name < end) && (after === null || name > after),
  )
  const expected = left.slice(0, limit).map(({ words }) => words)
  const told = page.items.map(({ name, lock }) => lockInWords(name, lock))
  return page.more === left.length > limit && isAlike(told, expected)
}

function isHistoryOf({ page }: CompactionView, { past, revision }: ModelState): boolean {
  const { compactedRevision = revision, changes = 0, bytes = 0, retention = null } = past ?? {}
  return isAlike(page, { compactedRevision, revision, changes, bytes, retention })
}
