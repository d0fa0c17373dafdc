import { describeOperation } from '../../../src/checker/operation.ts'
import type { Operation } from '../history/operation.ts'
import { Violation } from '../world/violation.ts'

/** What an oracle has found wrong about one operation. */
export function objectTo(operation: Operation, oracle: string, what: string): never {
  throw new Violation(oracle, `${describeOperation(operation)}: ${what}`)
}
