import type { WatchItem } from '../../../src/api/services.ts'
import { decodeRecord } from '../../../src/kv/index.ts'
import type { KeyChange } from '../../kv/support/history-model.ts'
import type { ReferenceModel } from '../../kv/support/reference-model.ts'
import { describeSession, reachedBy, type WatchInterest, type WatchSession } from '../history/watch-session.ts'
import { Violation } from '../world/violation.ts'
import { isAlike, plain } from './plain.ts'

type Changes = Extract<WatchItem, { type: 'changes' }>

/** What a watcher is to be told of one entry of the log. */
interface Due {
  readonly revision: number
  readonly changes: readonly KeyChange[]
}

/**
 * A watcher is told each change that it wants once, in order, all of an entry at a time, from the revision on after which it begins; none is
 * missing. Its progress is true, and it ends as compacted only when what it needs is. The watch through the next node begins where it was,
 * so all of them together are without a gap.
 */
export class Watches {
  changes = 0
  progress = 0
  compacted = 0
  private readonly model: ReferenceModel
  private readonly oldest: ReadonlySet<number>

  constructor(model: ReferenceModel) {
    this.model = model
    this.oldest = model.oldestRevisions()
  }

  /** `floor`: the highest revision that was acknowledged before the watch was asked for. */
  check(session: WatchSession, floor: number): void {
    const { began, since, sinceCluster, clusterId, end } = session
    const compactRevision = end?.compactRevision ?? null
    if (compactRevision !== null) this.checkCompacted(session, compactRevision)
    if (end?.code === 'future-revision' && sinceCluster === clusterId)
      object(session, 'calls a revision future that its cluster has told it')
    if (began === null) return
    if (since !== null && began !== since) object(session, 'does not begin where it was asked to')
    if (since === null && began < floor) object(session, `begins before ${floor}, which was acknowledged by then`)
    if (began > this.model.revision) object(session, 'begins at a revision that no committed entry made')
    this.checkItems(session, began)
  }

  private checkItems(session: WatchSession, began: number): void {
    const due = this.dueAfter(began, session.interest)
    let at = 0
    for (const item of session.items) {
      const next = due[at]
      if (item.type === 'progress') {
        this.progress += 1
        if (item.revision > this.model.revision)
          object(session, `claims progress to ${item.revision}, ahead of the store`)
        if (next !== undefined && next.revision <= item.revision)
          object(session, `claims progress to ${item.revision}, and was not told of ${next.revision}`)
        if (item.revision < (due[at - 1]?.revision ?? began)) object(session, `goes back to ${item.revision}`)
        continue
      }
      if (next?.revision !== item.revision)
        object(session, `is told of ${item.revision}, and ${next?.revision ?? 'nothing'} is next`)
      this.checkChanges(session, next, item)
      this.changes += 1
      at += 1
    }
    const left = due[at]
    if (session.isDue && left !== undefined) object(session, `was never told of ${left.revision}`)
  }

  private checkChanges(session: WatchSession, due: Due, item: Changes): void {
    const { wantsPrevious } = session.interest
    const expected = due.changes.map(({ key, before, after }) => ({
      key,
      kind: after === null ? 'delete' : 'put',
      record: after,
      previous: wantsPrevious ? before : null,
    }))
    const seen = item.changes.map(({ key, kind, row, previousRow }) => ({
      key,
      kind,
      record: row === null ? null : decodeRecord(row),
      previous: !wantsPrevious || previousRow === null ? null : decodeRecord(previousRow),
    }))
    if (isAlike(expected, seen)) return
    const [wanted, told] = [expected.map(plain), seen.map(plain)]
    object(session, `is told of ${item.revision} as ${JSON.stringify(told)}, not ${JSON.stringify(wanted)}`)
  }

  private checkCompacted(session: WatchSession, compactRevision: number): void {
    this.compacted += 1
    const reached = reachedBy(session) ?? session.since
    if (reached === null || reached >= compactRevision) object(session, 'ends as compacted, though it has all before')
    if (!this.oldest.has(compactRevision)) object(session, `names an oldest revision that there never was`)
  }

  private dueAfter(began: number, interest: WatchInterest): Due[] {
    return this.model.entries.flatMap(({ revision, changes }) => {
      const wanted = revision > began ? changes.filter((change) => wants(interest, change)) : []
      return wanted.length === 0 ? [] : [{ revision, changes: wanted }]
    })
  }
}

function wants({ keys, puts, deletes }: WatchInterest, { key, after }: KeyChange): boolean {
  if (after === null ? !deletes : !puts) return false
  if (typeof keys === 'string') return keys === key
  return (keys.start === null || key >= keys.start) && (keys.end === null || key < keys.end)
}

function object(session: WatchSession, what: string): never {
  throw new Violation('watch', `${describeSession(session)}: ${what}`)
}
