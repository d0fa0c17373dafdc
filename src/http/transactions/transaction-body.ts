import type { TransactionBody, TransactionCompare, TransactionOperation } from '../../api/transactions.ts'
import { branchFaults, endOfPrefix, isLeaseId } from '../../kv/index.ts'
import type { Compare, Key, Operation, TransactionCommand } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { isJsonObject } from '../../lib/json.ts'
import { limits } from '../../limits.ts'
import { bodyError, type BodyMistake } from '../protocol/body-issues.ts'
import { requireKey } from '../protocol/parameters.ts'
import { issuesError, type Issue } from '../protocol/query.ts'

/**
 * The command that a body asks for. `mistakes`: what the validator has found in it. All mistakes are named at once; only a branch in which
 * the validator has found some is not looked at as a whole.
 */
export function transactionFrom(
  body: unknown,
  mistakes: readonly BodyMistake[],
  valueBytesMax: number,
): TransactionCommand {
  const parts = soundParts(body, mistakes)
  const compares = parts.compare.map(compareOf)
  const success = parts.success.map(operationOf)
  const failure = parts.failure.map(operationOf)
  const issues = [...issuesIn('success', success), ...issuesIn('failure', failure)]
  issues.push(...leaseIssuesIn('success', success), ...leaseIssuesIn('failure', failure))
  if (mistakes.length === 0 && success.length + failure.length === 0)
    issues.push({ path: 'body', message: 'has no operations: give some in success, in failure or in both' })
  if (mistakes.length + issues.length > 0) throw bodyError(mistakes, issues)
  const transaction = { type: 'transaction', compares, success, failure, idempotency: null } as const
  refuseLargeValues(transaction, valueBytesMax)
  return transaction
}

/** The parts of a body in which the validator has found no mistake; empty in place of the others, and of those that are absent. */
function soundParts(body: unknown, mistakes: readonly BodyMistake[]): Required<TransactionBody> {
  const isSound = (part: string): boolean =>
    mistakes.every(({ instancePath }) => instancePath !== `/${part}` && !instancePath.startsWith(`/${part}/`))
  const { compare = [], success = [], failure = [] } = isJsonObject(body) ? (body as TransactionBody) : {}
  return {
    compare: isSound('compare') ? compare : [],
    success: isSound('success') ? success : [],
    failure: isSound('failure') ? failure : [],
  }
}

function issuesIn(name: string, branch: readonly Operation[]): readonly Issue[] {
  return branchFaults(branch).map(({ index, message }) => ({
    path: `body/${name}/${index}`,
    message: `conflicts: ${message}`,
  }))
}

function leaseIssuesIn(name: string, branch: readonly Operation[]): readonly Issue[] {
  return branch.flatMap((one, index) =>
    one.type === 'put' && one.lease !== undefined && !isLeaseId(one.lease)
      ? [{ path: `body/${name}/${index}/put/lease`, message: 'is no id of a lease' }]
      : [],
  )
}

const TARGETS = {
  version: 'version',
  createRevision: 'create-revision',
  modRevision: 'mod-revision',
  lease: 'lease',
} as const

function compareOf(compare: TransactionCompare): Compare {
  const key = requireKey(compare.key)
  const { op: operator } = compare
  return compare.target === 'value'
    ? { key, target: 'value', operator, value: valueOf(compare) }
    : { key, target: TARGETS[compare.target], operator, value: compare.value }
}

function operationOf(operation: TransactionOperation): Operation {
  if ('put' in operation) {
    const { key, prev = false, lease } = operation.put
    const put = { type: 'put', key: requireKey(key), value: valueOf(operation.put), wantsPrevious: prev } as const
    return lease === undefined ? put : { ...put, lease }
  }
  if ('get' in operation) return { type: 'get', key: requireKey(operation.get.key) }
  if ('list' in operation) {
    const { limit = limits.listItemsDefault, keysOnly = false } = operation.list
    return { type: 'list', ...rangeOf(operation.list), limit, keysOnly }
  }
  const { key, prev = false } = operation.delete
  return key === undefined
    ? { type: 'delete-range', ...rangeOf(operation.delete) }
    : { type: 'delete', key: requireKey(key), wantsPrevious: prev }
}

function valueOf({ value, valueBase64 = '' }: { readonly value?: string; readonly valueBase64?: string }): Uint8Array {
  return value === undefined ? Buffer.from(valueBase64, 'base64') : Buffer.from(value)
}

interface Bounds {
  readonly prefix?: string
  readonly start?: string
  readonly end?: string
}

function rangeOf({ prefix = '', start, end }: Bounds): { readonly start: Key | null; readonly end: Key | null } {
  if (prefix === '')
    return { start: start === undefined ? null : requireKey(start), end: end === undefined ? null : requireKey(end) }
  const first = requireKey(prefix)
  return { start: first, end: endOfPrefix(first) }
}

interface PlacedValue {
  readonly path: string
  readonly bytes: number
}

function refuseLargeValues(transaction: TransactionCommand, valueBytesMax: number): void {
  const values = valuesIn(transaction)
  const tooLarge = values.filter(({ bytes }) => bytes > valueBytesMax)
  if (tooLarge.length > 0) {
    const issues = tooLarge.map(({ path, bytes }) => ({
      path,
      message: `has a value of ${bytes} bytes; at most ${valueBytesMax} are allowed`,
    }))
    throw issuesError('value-too-large', issues, { limitBytes: valueBytesMax })
  }
  const limitBytes = limits.transactionValueBytesMax
  const bytes = values.reduce((sum, value) => sum + value.bytes, 0)
  if (bytes <= limitBytes) return
  const detail = `the values of the transaction have ${bytes} bytes together; at most ${limitBytes} are allowed`
  throw new RequestError('request-too-large', detail, { limitBytes })
}

function valuesIn({ compares, success, failure }: TransactionCommand): readonly PlacedValue[] {
  return [
    ...compares.flatMap((one, index) =>
      one.target === 'value' ? [{ path: `body/compare/${index}`, bytes: one.value.length }] : [],
    ),
    ...valuesOfBranch('success', success),
    ...valuesOfBranch('failure', failure),
  ]
}

function valuesOfBranch(name: string, branch: readonly Operation[]): readonly PlacedValue[] {
  return branch.flatMap((one, index) =>
    one.type === 'put' ? [{ path: `body/${name}/${index}/put`, bytes: one.value.length }] : [],
  )
}
