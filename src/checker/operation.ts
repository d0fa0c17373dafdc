import type { Command, CommandResult, Key, KeyRecord, OperationResult, TransactionCommand } from '../kv/index.ts'
import type { Consistency } from '../api/keys.ts'
import type { LockOutcome } from '../api/services.ts'

/** What a client asks for. */
export type ClientCommand = Exclude<Command, { type: 'raise-level' | 'auth-reset' }>

export type Request =
  | { readonly type: 'write'; readonly command: ClientCommand }
  | {
      readonly type: 'get'
      readonly key: Key
      readonly consistency: Consistency
      readonly minRevision: number | null
      /** The greatest age of the state behind a stale read; left out for any age. */
      readonly maxStalenessMs?: number
      /** The past revision that is read; left out for the present. */
      readonly revision?: number
    }
  | {
      readonly type: 'scan'
      readonly start: Key | null
      readonly end: Key | null
      readonly reverse: boolean
      readonly consistency: Consistency
      readonly revision?: number
    }

export interface ScannedRecord {
  readonly key: Key
  readonly record: KeyRecord
}

/** What a request came to; for a lock, after its wait. */
export type WriteResult = CommandResult | LockOutcome['result']

export type Answer =
  | { readonly type: 'write'; readonly result: WriteResult; readonly revision: number }
  | { readonly type: 'get'; readonly record: KeyRecord | null; readonly revision: number; readonly given: Consistency }
  | {
      readonly type: 'scan'
      readonly items: readonly ScannedRecord[]
      readonly revision: number
      readonly given: Consistency
    }
  /** A read of the past that is refused: `revision` is the oldest that can be read. */
  | { readonly type: 'compacted'; readonly revision: number }

export type Outcome =
  | { readonly kind: 'answered'; readonly answer: Answer }
  /** It had no effect, and never will. */
  | { readonly kind: 'failed'; readonly code: string }
  /** It may have taken effect, or may do so later. */
  | { readonly kind: 'unknown'; readonly code: string }

/** One intention of a client, with all its retries. Times are milliseconds of one clock. */
export interface Operation {
  readonly id: number
  readonly client: number
  readonly request: Request
  readonly invokedAt: number
  /** Infinity while there is no answer. */
  returnedAt: number
  outcome: Outcome
}

/** The revision that a read of the past asks for; null for every other request. */
export function pastRevisionOf(request: Request): number | null {
  return request.type === 'write' ? null : (request.revision ?? null)
}

export function describeOperation(operation: Operation): string {
  const { request, outcome } = operation
  const name = `c${operation.client}#${operation.id}`
  const span = `[${operation.invokedAt.toFixed(2)}, ${operation.returnedAt.toFixed(2)}]`
  return `${name} ${span} ${describeRequest(request)} -> ${describeOutcome(outcome)}`
}

function describeRequest(request: Request): string {
  switch (request.type) {
    case 'get':
      return `get ${request.key} (${request.consistency}${bound('from', request.minRevision)}${bound('age', request.maxStalenessMs)}${bound('of', request.revision)})`
    case 'scan':
      return `scan ${request.start ?? ''}..${request.end ?? ''}${request.reverse ? ' reversed' : ''} (${request.consistency}${bound('of', request.revision)})`
    case 'write': {
      const { command } = request
      const tag =
        command.idempotency === null ? '' : ` as ${command.idempotency.key}/${command.idempotency.fingerprint}`
      if (command.type === 'delete-range') {
        return `delete ${command.start ?? ''}..${command.end ?? ''}${command.upToLimit ? ' up to the limit' : ''}${tag}`
      }
      if (command.type === 'transaction') return `${describeTransaction(command)}${tag}`
      if (command.type === 'compaction') return `compact ${command.revision ?? 'what exceeds the retention'}${tag}`
      if (command.type === 'retention') return `retain ${JSON.stringify(command.retention)}${tag}`
      if (command.type !== 'put' && command.type !== 'delete') return describeOther(command)
      return `${describeOne(command)}${tag}`
    }
  }
}

function describeOne(command: Extract<ClientCommand, { type: 'put' | 'delete' }>): string {
  const { condition } = command
  const when =
    condition === null
      ? ''
      : condition.type === 'mod-revision'
        ? ` if at ${condition.revision}`
        : ` if ${condition.type}`
  const lease = command.type === 'put' && command.lease !== undefined ? ` with ${JSON.stringify(command.lease)}` : ''
  const what = command.type === 'put' ? `put ${command.key}=${textOf(command.value)}${lease}` : `delete ${command.key}`
  return `${what}${when}`
}

/** Of leases and locks, roles and tokens. */
function describeOther({ type, idempotency, ...rest }: ClientCommand): string {
  const tag = idempotency === null ? '' : ` as ${idempotency.key}/${idempotency.fingerprint}`
  return `${type} ${JSON.stringify(rest)}${tag}`
}

function bound(name: string, value: number | null | undefined): string {
  return value === null || value === undefined ? '' : `, ${name} ${value}`
}

function describeOutcome(outcome: Outcome): string {
  if (outcome.kind !== 'answered') return `${outcome.kind} (${outcome.code})`
  return describeAnswer(outcome.answer)
}

export function describeAnswer(answer: Answer): string {
  switch (answer.type) {
    case 'get':
      return `${describeRecord(answer.record)} at ${answer.revision}`
    case 'scan':
      return `${answer.items.map(({ key, record }) => `${key}=${describeRecord(record)}`).join(' ')} at ${answer.revision}`
    case 'compacted':
      return `compacted up to ${answer.revision}`
    case 'write':
      return `${describeResult(answer.result)} at ${answer.revision}`
  }
}

export function describeResult(result: WriteResult): string {
  switch (result.type) {
    case 'put':
      return `put r${result.revision} c${result.createRevision} v${result.version} before ${describeRecord(result.previous)}`
    case 'deleted':
      return `deleted ${result.deleted} r${result.revision} before ${describeRecord(result.previous)}`
    case 'range-deleted':
      return `deleted ${result.deleted} r${result.revision} up to ${result.next ?? 'the end'}`
    case 'range-too-large':
      return `refused, ${result.found} of ${result.limit} keys`
    case 'condition-failed':
      return `refused, now at ${result.currentRevision}`
    case 'transaction-too-large':
      return `refused, more than ${result.limitBytes} bytes`
    case 'transaction': {
      const results = result.resultsForgotten === true ? 'forgotten' : result.results.map(describeResultOf).join(', ')
      return `${result.succeeded ? 'succeeded' : 'failed'} r${result.revision}: ${results}`
    }
    case 'range-too-heavy':
      return `refused, more than ${result.limitBytes} bytes`
    case 'level-raised':
      return `level ${result.level}`
    case 'compacted':
      return `compacted up to ${result.compactedRevision}${result.done ? '' : ', and more to do'}`
    case 'future-revision':
      return `refused, now at ${result.revision}`
    case 'retention-set':
      return 'retention set'
    case 'key-reused':
      return 'key reused'
    default:
      return JSON.stringify(result)
  }
}

function describeTransaction({ compares, success, failure }: TransactionCommand): string {
  const ifs = compares.map(
    ({ key, target, operator, value }) =>
      `${key} ${target} ${operator} ${typeof value === 'number' ? value : textOf(value)}`,
  )
  const branch = (operations: TransactionCommand['success']): string => operations.map(describePart).join(', ')
  return `transaction if [${ifs.join(', ')}] then [${branch(success)}] else [${branch(failure)}]`
}

function describePart(operation: TransactionCommand['success'][number]): string {
  if (operation.type === 'put') {
    const lease = operation.lease === undefined ? '' : ` with ${operation.lease}`
    return `put ${operation.key}=${textOf(operation.value)}${lease}`
  }
  if ('key' in operation) return `${operation.type} ${operation.key}`
  const range = `${operation.start ?? ''}..${operation.end ?? ''}`
  return operation.type === 'list' ? `list ${operation.limit} of ${range}` : `delete ${range}`
}

function describeResultOf(result: OperationResult): string {
  switch (result.type) {
    case 'put':
      return `put c${result.createRevision} v${result.version} before ${describeRecord(result.previous)}`
    case 'get':
      return describeRecord(result.record)
    case 'delete':
      return `deleted ${result.deleted} before ${describeRecord(result.previous)}`
    case 'list':
      return `[${result.items.map(({ key, record }) => `${key}=${describeRecord(record)}`).join(' ')}${result.more ? ' ...' : ''}]`
  }
}

export function describeRecord(record: KeyRecord | null): string {
  if (record === null) return 'nothing'
  return `"${textOf(record.value)}" m${record.modRevision} c${record.createRevision} v${record.version}${record.lease === 0 ? '' : ` l${record.lease}`}`
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
