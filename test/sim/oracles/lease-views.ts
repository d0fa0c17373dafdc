import { leaseInWords } from '../../kv/support/lease-model.ts'
import type { ReferenceModel } from '../../kv/support/reference-model.ts'
import type { Operation } from '../history/operation.ts'
import type { LeasesView } from '../history/view.ts'
import { objectTo } from './objection.ts'

/** A page of leases shows those that there are in one of the states with the revision that it claims, in the order of their ids. */
export class LeaseViews {
  checked = 0
  private readonly model: ReferenceModel

  constructor(model: ReferenceModel) {
    this.model = model
  }

  /** `revision`: what the page reflects. */
  check(operation: Operation, { after, limit, page }: LeasesView, revision: number): void {
    this.checked += 1
    const told = page.items.map(({ id, lease }) => leaseInWords(id, lease))
    const isThere = this.model.leasesWith(revision).some((leases) => {
      const left = leases.filter(({ id }) => after === null || id > after).sort((a, b) => a.id - b.id)
      const expected = left.slice(0, limit).map(({ words }) => words)
      return page.more === left.length > limit && expected.join('\n') === told.join('\n')
    })
    if (isThere) return
    const from = `above ${after ?? 'none'}, up to ${limit}`
    objectTo(
      operation,
      'lease-views',
      `shows of the leases ${from}: [${told.join(', ')}]${page.more ? ' and more' : ''}`,
    )
  }
}
