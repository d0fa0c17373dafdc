import { describeOperation, type Operation } from '../history/operation.ts'
import { Violation } from '../violation.ts'

export interface CalmOptions {
  /** Every voter has heard of a leader. */
  readonly from: number
  /** Calls that began later may have met what comes after the calm. */
  readonly to: number
  /** There are machines that belong to no cluster, and say so. */
  readonly hasOutsiders: boolean
  readonly heartbeatMs: number
}

/** Where nothing goes wrong, everything succeeds: returns how many calls were answered. */
export function checkCalm(history: readonly Operation[], options: CalmOptions): number {
  const { from, to, hasOutsiders, heartbeatMs } = options
  const calls = history.filter(({ invokedAt }) => invokedAt >= from && invokedAt <= to)
  for (const operation of calls) {
    const { outcome, request } = operation
    if (outcome.kind === 'answered') continue
    if (hasOutsiders && outcome.code === 'not-initialized') continue
    // A leader is heard that often, and a little less.
    const maxStalenessMs = request.type === 'get' ? (request.maxStalenessMs ?? Infinity) : Infinity
    if (maxStalenessMs <= heartbeatMs && outcome.code === 'not-ready') continue
    throw new Violation('calm', `nothing was wrong, and yet: ${describeOperation(operation)}`)
  }
  return calls.length
}
