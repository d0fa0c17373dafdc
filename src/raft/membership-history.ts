import { assert } from '../lib/assert.ts'
import { elementAt } from '../lib/element-at.ts'
import { isVoter } from './membership.ts'
import { indexOf, type LogIndex, type NodeId, type StoredMembership } from './types.ts'

/**
 * The memberships that can still matter: the committed one, then those in the log beyond the commit index, ascending.
 *
 * The last one in the log is effective on every node, committed or not (thesis 4.1). When its entry is truncated, the one before it is
 * effective again. A leader has at most one uncommitted membership; a follower's log may hold more for a while.
 */
export class MembershipHistory {
  private stored: StoredMembership[]

  constructor(committed: StoredMembership, later: readonly StoredMembership[]) {
    this.stored = [committed]
    for (const membership of later) this.append(membership)
  }

  /** The membership whose entry is committed; `NO_MEMBERSHIP` for a node that knows of none. */
  get committed(): StoredMembership {
    return elementAt(this.stored, 0)
  }

  get effective(): StoredMembership {
    return elementAt(this.stored, this.stored.length - 1)
  }

  /** All of them: the committed one first. */
  get all(): readonly StoredMembership[] {
    return this.stored
  }

  /**
   * Whether `id` is a voter in the effective membership, in the committed one, or in the one that the effective one replaced, as long as
   * the effective one may be uncommitted. A leader may write its own removal and crash: no other log is that long, so it must be able to
   * lead once more. A restart forgets what was committed, so the replaced membership counts on its own.
   */
  mayCampaign(id: NodeId): boolean {
    const relevant = [this.effective, this.stored.at(-2), this.committed]
    return relevant.some((known) => known !== undefined && isVoter(known.membership, id))
  }

  append(membership: StoredMembership): void {
    assert(indexOf(membership.logId) > indexOf(this.effective.logId), 'memberships ascend by log index')
    this.stored.push(membership)
  }

  /** The entries from `from` on are gone. */
  truncate(from: LogIndex): void {
    while (this.stored.length > 1 && indexOf(this.effective.logId) >= from) this.stored.pop()
    assert(indexOf(this.committed.logId) < from, 'a committed membership is never truncated')
  }

  commit(upTo: LogIndex): void {
    let committed = 0
    while (indexOf(this.stored[committed + 1]?.logId ?? null) <= upTo && committed + 1 < this.stored.length)
      committed += 1
    if (committed > 0) this.stored.splice(0, committed)
  }

  /** A snapshot at `index` was installed with `membership`; memberships of later entries stay if the log was kept. */
  install(membership: StoredMembership, index: LogIndex, logKept: boolean): void {
    const later = logKept ? this.stored.filter((known) => indexOf(known.logId) > index) : []
    this.stored = [membership, ...later]
  }

  /** The last membership at or before `index`; null when that is no longer known. */
  at(index: LogIndex): StoredMembership | null {
    return this.stored.findLast((membership) => indexOf(membership.logId) <= index) ?? null
  }
}
