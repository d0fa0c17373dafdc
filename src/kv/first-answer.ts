import type { Command, Operation, TransactionCommand } from './command.ts'
import { isResultOf, type CommandResult, type OperationResult } from './result.ts'

const RESULT_OF: Record<Operation['type'], OperationResult['type']> = {
  put: 'put',
  get: 'get',
  delete: 'delete',
  'delete-range': 'delete',
  list: 'list',
}

/**
 * Whether `command` can have had this result. Two requests may have one fingerprint, if somebody looks for such a pair. The second must then still
 * get a result of its own kind, since every reader of results relies on that.
 */
export function canHaveHad(command: Command, result: CommandResult): boolean {
  if (!isResultOf<Command>(command, result)) return false
  switch (result.type) {
    case 'condition-failed':
      return 'condition' in command && command.condition !== null
    case 'lease-not-found':
    case 'too-many-leases':
    case 'too-many-attached-keys':
      return namesLease(command)
    case 'deleted':
      return command.type !== 'delete-range' || !command.upToLimit
    case 'range-deleted':
      return command.type === 'delete-range' && command.upToLimit
    case 'range-too-large':
    case 'range-too-heavy':
      return command.type === 'transaction'
        ? deletesRange(command)
        : command.type === 'delete-range' && !command.upToLimit
    case 'transaction':
      return command.type === 'transaction' && hasShapeOf(command, result)
    default:
      return true
  }
}

function namesLease(command: Command): boolean {
  switch (command.type) {
    case 'put':
      return command.lease !== undefined
    case 'transaction':
      return [...command.success, ...command.failure].some((one) => one.type === 'put' && one.lease !== undefined)
    default:
      return true
  }
}

function deletesRange({ success, failure }: TransactionCommand): boolean {
  return [...success, ...failure].some(({ type }) => type === 'delete-range')
}

function hasShapeOf(
  command: TransactionCommand,
  result: Extract<CommandResult, { readonly type: 'transaction' }>,
): boolean {
  if (result.resultsForgotten === true) return true
  const branch = result.succeeded ? command.success : command.failure
  return (
    branch.length === result.results.length &&
    branch.every(({ type }, at) => RESULT_OF[type] === result.results[at]?.type)
  )
}
