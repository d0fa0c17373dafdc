import type { ReferenceModel } from '../../kv/support/reference-model.ts'
import type { Operation } from '../history/operation.ts'
import { objectTo } from './objection.ts'

/**
 * What is refused as compacted is compacted: some node has had that oldest revision. That a node which has applied a compaction refuses what
 * is older is checked when it answers (`ServiceCall`).
 */
export class Compactions {
  checked = 0
  private readonly oldest: ReadonlySet<number>

  constructor(model: ReferenceModel) {
    this.oldest = model.oldestRevisions()
  }

  check(operation: Operation, revision: number, compactRevision: number): void {
    this.checked += 1
    if (revision >= compactRevision) objectTo(operation, 'compaction', 'is refused, though the oldest is no later')
    if (!this.oldest.has(compactRevision))
      objectTo(operation, 'compaction', `names an oldest revision, ${compactRevision}, that there never was`)
  }
}
