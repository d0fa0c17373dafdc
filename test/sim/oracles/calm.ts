import { describeOperation } from '../../../src/checker/operation.ts'
import type { Operation } from '../history/operation.ts'
import { Violation } from '../world/violation.ts'

export interface CalmOptions {
  /** From this moment on every voter knows of a leader. */
  readonly from: number
  /** Calls that started later may overlap with what follows the calm. */
  readonly to: number
  /** Some machines belong to no cluster, and say so. */
  readonly hasOutsiders: boolean
}

const OUT_OF_TIME = new Set(['read-timeout', 'outcome-unknown'])

function waitMsOf({ request }: Operation): number {
  return request.type === 'write' && request.command.type === 'lock-acquire' ? request.command.waitMs : 0
}

/** Without faults every call must succeed. Returns the number of answered calls. */
export function checkCalm(history: readonly Operation[], { from, to, hasOutsiders }: CalmOptions): number {
  const calls = history.filter(
    (operation) => operation.invokedAt >= from && operation.invokedAt + waitMsOf(operation) <= to,
  )
  for (const operation of calls) {
    const { outcome, request } = operation
    if (outcome.kind === 'answered') continue
    // Whether that is right is checked with the roles and tokens.
    if (operation.secret !== undefined && (outcome.code === 'unauthenticated' || outcome.code === 'forbidden')) continue
    // It did not wait for the answer.
    if (operation.leftAt !== undefined && waitMsOf(operation) > 0) continue
    if (hasOutsiders && outcome.code === 'not-initialized') continue
    // One that joins the cluster has all its entries to fetch first.
    if (hasOutsiders && operation.atLearner === true && OUT_OF_TIME.has(outcome.code)) continue
    // A node learns the age of its state from its leader's next message, so it cannot tell right after it has joined or has led itself.
    if (request.type === 'get' && request.maxStalenessMs !== undefined && outcome.code === 'not-ready') continue
    throw new Violation('calm', `nothing was wrong, and yet: ${describeOperation(operation)}`)
  }
  return calls.length
}
