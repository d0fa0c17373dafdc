import type { Heard, Operation } from './operation.ts'

/**
 * The operations of clients on one of several clusters. Clients do not know which cluster they speak to: an answer belongs to the
 * cluster of the answering node. A write that one cluster answered may have taken effect in others too, if it was tried more
 * than once.
 */
export function historyOf(clusterId: string, history: readonly Operation[]): Operation[] {
  return history.flatMap((operation) => seenIn(clusterId, operation))
}

function seenIn(clusterId: string, operation: Operation): Operation[] {
  const { outcome, request, heard } = operation
  if (outcome.kind !== 'answered' || heard === undefined) return [operation]
  const here = heard.filter((one) => one.clusterId === clusterId)
  const [first] = here
  // An import that is sent again may be answered by one cluster first, and later by another one.
  const returnedAt = Math.max(operation.returnedAt, first?.span?.to ?? 0)
  if (first !== undefined) return [{ ...operation, returnedAt, outcome: answered(first), heard: here }]
  if (request.type !== 'write') return []
  // A write without an idempotency key is tried only once.
  if (request.command.idempotency === null)
    return [{ ...operation, outcome: { kind: 'failed', code: 'answered by another cluster' } }]
  return [{ ...operation, returnedAt: Infinity, outcome: { kind: 'unknown', code: 'answered by another cluster' } }]
}

function answered({ answer }: Heard): Operation['outcome'] {
  return { kind: 'answered', answer }
}
