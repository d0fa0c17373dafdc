import type { ReferenceModel } from '../../kv/support/reference-model.ts'
import type { Answer } from '../../../src/checker/operation.ts'
import type { Operation } from '../history/operation.ts'
import { objectTo } from './objection.ts'
import { readFault } from './read-fault.ts'

/** A read of the past shows what a read at that revision would have shown then, whoever answers it and however late. */
export class PastReads {
  checked = 0
  private readonly model: ReferenceModel

  constructor(model: ReferenceModel) {
    this.model = model
  }

  check(operation: Operation, revision: number, answer: Answer): void {
    this.checked += 1
    if (answer.type !== 'get' && answer.type !== 'scan')
      return objectTo(operation, 'past-reads', 'is answered in another kind')
    if (answer.revision !== revision) objectTo(operation, 'past-reads', `shows revision ${answer.revision}`)
    if (revision > this.model.revision)
      objectTo(operation, 'past-reads', `shows a revision that no committed entry has reached`)
    const fault = readFault(this.model, operation.request, answer)
    if (fault !== null) objectTo(operation, 'past-reads', fault)
  }
}
