import type { ClientCommand, Operation } from '../../../src/checker/operation.ts'
import { hasChanged, positionTold } from '../../../src/checker/key-model.ts'
import type { TimesOfLog } from './entry-times.ts'
import type { ExecutedLog } from './executed-log.ts'

/**
 * What named writes have changed once more, after their names were forgotten, by the index of the entry: an operation whose outcome nobody was
 * told. `history`: the operations of clients, each of which stands for one time that its write was executed.
 */
export function executedAgain(
  log: ExecutedLog,
  times: TimesOfLog,
  history: readonly Operation[],
): ReadonlyMap<Operation, number> {
  const again = new Map<Operation, number>()
  const executions = [...log.model.executions].filter(([, indexes]) => indexes.length > 1)
  if (executions.length === 0) return again
  const own = new Set(history.map((operation) => ownIndex(log, operation)))
  for (const index of executions.flatMap(([, indexes]) => indexes)) {
    const [command, result] = [log.commands.get(index), log.model.resultsByIndex.get(index)]
    if (own.has(index) || command === undefined || result === undefined || !hasChanged(result)) continue
    again.set(
      {
        id: -1,
        client: -1,
        request: { type: 'write', command: command as ClientCommand },
        invokedAt: times.writtenAt(index),
        returnedAt: Infinity,
        outcome: { kind: 'unknown', code: 'executed again' },
      },
      index,
    )
  }
  return again
}

/** The entry that an operation stands for; null for a read, and for an answer that tells of no change. */
function ownIndex(log: ExecutedLog, operation: Operation): number | null {
  const { request, outcome } = operation
  if (request.type !== 'write' || request.command.idempotency === null) return null
  if (outcome.kind === 'answered') return positionTold(operation)
  const [first] = outcome.kind === 'unknown' ? log.indexesOf(request.command) : []
  return first ?? null
}
