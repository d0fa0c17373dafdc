import { describeOperation, type Operation } from '../history/operation.ts'
import { Violation } from '../world/violation.ts'

export interface CalmOptions {
  /** Every voter has heard of a leader. */
  readonly from: number
  /** Calls that began later may have met what comes after the calm. */
  readonly to: number
  /** There are machines that belong to no cluster, and say so. */
  readonly hasOutsiders: boolean
}

/** Where nothing goes wrong, everything succeeds: returns how many calls were answered. */
export function checkCalm(history: readonly Operation[], { from, to, hasOutsiders }: CalmOptions): number {
  const calls = history.filter(({ invokedAt }) => invokedAt >= from && invokedAt <= to)
  for (const operation of calls) {
    const { outcome, request } = operation
    if (outcome.kind === 'answered') continue
    if (hasOutsiders && outcome.code === 'not-initialized') continue
    // How old its state is a node learns from what its leader says next: not at once after it has joined, or has led itself.
    if (request.type === 'get' && request.maxStalenessMs !== undefined && outcome.code === 'not-ready') continue
    throw new Violation('calm', `nothing was wrong, and yet: ${describeOperation(operation)}`)
  }
  return calls.length
}
