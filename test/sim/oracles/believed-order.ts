import type { Command, Key } from '../../../src/kv/index.ts'
import { hasChanged, positionTold } from '../../../src/checker/key-model.ts'
import type { Answer, Operation as Recorded } from '../../../src/checker/operation.ts'
import { markOf } from '../../kv/support/transaction-model.ts'
import type { Operation } from '../history/operation.ts'
import type { TimesOfLog } from './entry-times.ts'
import { executedAgain } from './executed-again.ts'
import { withoutToken, type ExecutedLog } from './executed-log.ts'

/**
 * Where the log has the operations of clients, as far as it tells. A search that tries them in this order seldom has to go back; it finds the
 * same when the order is wrong.
 */
export class BelievedOrder {
  /** What named writes have changed once more after their names were forgotten, by the index of the entry. */
  readonly again: ReadonlyMap<Recorded, number>
  private readonly log: ExecutedLog
  private readonly claimed: ReadonlyMap<number, number>

  /** `history`: the operations of clients, without those that are sent again. */
  constructor(log: ExecutedLog, times: TimesOfLog, history: readonly Operation[]) {
    this.log = log
    this.again = executedAgain(log, times, history)
    this.claimed = claimRemovals(log, times, history)
  }

  /** Infinity: it is not in the log, or has changed nothing that anybody was told. */
  positionOf(operation: Recorded): number {
    const again = this.again.get(operation)
    if (again !== undefined) return again
    const { id, outcome, request } = operation
    const index = request.type === 'write' ? this.firstIndexOf(request.command) : undefined
    if (outcome.kind === 'answered') {
      const told = positionTold(operation)
      // What has changed nothing tells the state that it met, and that may have been the state for long. A name that was forgotten has several
      // entries, and the answer is of one of them.
      return Number.isInteger(told) ? told : (index ?? told)
    }
    const result = index === undefined ? undefined : this.log.model.resultsByIndex.get(index)
    const hasEffect = index !== undefined && result !== undefined && hasChanged(result)
    return hasEffect ? index : (this.claimed.get(id) ?? Infinity)
  }

  /** The same in the order of one key: what nobody was told of and has left the key as it was need not be in that. */
  positionOn(key: Key, operation: Recorded): number {
    const at = this.positionOf(operation)
    return operation.outcome.kind === 'answered' || this.log.hasChanged(at, key) ? at : Infinity
  }

  /** What the operation has come to where the log has it; null where that is not known. */
  answerOf(operation: Recorded): Answer | null {
    const index = this.positionOf(operation)
    const result = this.log.model.resultsByIndex.get(index)
    return result === undefined ? null : { type: 'write', result, revision: index }
  }

  /** Where the command took effect, if that is certain. */
  private firstIndexOf(command: Command): number | undefined {
    if (markOf(command) !== null) return this.log.indexesOf(command).find((at) => !this.log.isRefused(at))
    const { idempotency } = command
    if (idempotency === null) return undefined
    const executed = this.log.model.executions.get(idempotency.key) ?? []
    return executed.find((at) => this.log.commands.get(at)?.idempotency?.fingerprint === idempotency.fingerprint)
  }
}

/**
 * Where the log has removals whose outcome is unknown, by the id of the operation. A removal without a name carries no mark, so those that are
 * equal get, in any order, the entries that were written after they were asked for and that no answer tells of.
 */
function claimRemovals(
  log: ExecutedLog,
  times: TimesOfLog,
  history: readonly Operation[],
): ReadonlyMap<number, number> {
  const unclaimed = new Map<string, number[]>()
  for (const [index, command] of log.commands) {
    const result = log.model.resultsByIndex.get(index)
    if (!isUnmarked(command) || result === undefined || !hasChanged(result)) continue
    const said = removalOf(command)
    unclaimed.set(said, [...(unclaimed.get(said) ?? []), index])
  }
  const taken = new Set(history.filter(({ request }) => request.type === 'write').map(positionTold))
  const claimed = new Map<number, number>()
  for (const { id, outcome, request, invokedAt } of history) {
    if (outcome.kind !== 'unknown' || request.type !== 'write' || !isUnmarked(request.command)) continue
    const equal = unclaimed.get(removalOf(request.command)) ?? []
    const at = equal.find((index) => !taken.has(index) && times.writtenAt(index) >= invokedAt)
    if (at === undefined) continue
    taken.add(at)
    claimed.set(id, at)
  }
  return claimed
}

function isUnmarked(command: Command): boolean {
  return markOf(command) === null && command.idempotency === null
}

function removalOf(command: Command): string {
  return JSON.stringify(withoutToken(command))
}
