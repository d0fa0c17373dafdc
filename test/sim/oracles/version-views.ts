import type { KeyVersion } from '../../../src/api/services.ts'
import type { ReferenceModel } from '../../kv/support/reference-model.ts'
import type { Operation } from '../history/operation.ts'
import type { VersionsView } from '../history/view.ts'
import { objectTo } from './objection.ts'
import { isAlike } from './plain.ts'

/** A page of versions shows what the log has made of the key, each version once, as far back as the store that it shows can tell. */
export class VersionViews {
  checked = 0
  private readonly model: ReferenceModel

  constructor(model: ReferenceModel) {
    this.model = model
  }

  /** `revision`: what the page reflects. */
  check(operation: Operation, { key, before, limit, page }: VersionsView, revision: number): void {
    this.checked += 1
    const { items, done, compactedRevision } = page
    if (!this.model.hasHad(revision, compactedRevision))
      objectTo(
        operation,
        'versions',
        `shows ${revision} with ${compactedRevision} as the oldest, which never were together`,
      )
    // A page that follows one of another cluster may begin where this one has no version. What comes below is superseded there all the same.
    const isHidden = before !== null && before <= compactedRevision
    const left = this.tellable(key, revision, compactedRevision).filter(
      (one) => before === null || (!isHidden && one.revision < before),
    )
    const expected = left.slice(0, limit)
    const told = `[${items.map(describeVersion).join(' ')}]${done ? '' : ' and more'}`
    const what = `from ${before ?? 'the newest'} on, up to ${limit}, with ${compactedRevision} as the oldest: ${told}`
    if (!isAlike(items, expected))
      objectTo(operation, 'versions', `${what}, and there are [${expected.map(describeVersion).join(' ')}]`)
    if (done !== left.length <= limit)
      objectTo(operation, 'versions', `${what}, and ${left.length - expected.length} more are there`)
  }

  /** The versions above the oldest revision, and what the key was then, unless it was not there; the newest first. */
  private tellable(key: VersionsView['key'], revision: number, oldest: number): KeyVersion[] {
    const versions = this.model.versionsOf(key).filter((one) => one.revision <= revision)
    const then = versions.findLast((one) => one.revision <= oldest)
    const shown = versions.filter((one) => one.revision > oldest || (one === then && one.record !== null))
    return shown.reverse()
  }
}

function describeVersion({ revision, record }: KeyVersion): string {
  return record === null ? `${revision} deleted` : `${revision} v${record.version}`
}
