import type { CommandResult, Condition, DeleteCommand, Key, PutCommand } from '../kv/index.ts'
import type { Call, Model } from './linearizability.ts'
import { ABSENT, differs, observe, type KeyState } from './key-state.ts'
import { textOf, type Answer, type ClientCommand, type Operation, type WriteResult } from './operation.ts'
import { stepTransaction } from './transaction-step.ts'
import { changedBy, concerns, isBetween } from './transaction-parts.ts'

/** The effect of one operation on one key, or its view of that key. `answer` null: its effect is unknown. */
export interface KeyCall {
  readonly operation: Operation
  readonly key: Key
  readonly answer: Answer | null
}

export const keyModel: Model<KeyState, KeyCall> = {
  initial: ABSENT,
  step(state, { operation, key, answer }) {
    const { request } = operation
    if (request.type === 'write') return stepWrite({ state, key }, request.command, answer)
    if (answer === null || answer.type === 'write' || answer.type === 'compacted') return [state]
    const record =
      answer.type === 'get' ? answer.record : (answer.items.find((item) => item.key === key)?.record ?? null)
    return observe(state, record)
  },
  keyOf: (state) => `${state.value}|${state.version}|${state.createdAt}|${state.modifiedAt}`,
}

/** Answers to a write that changed nothing, whatever the key holds. */
const REFUSALS: ReadonlySet<WriteResult['type']> = new Set([
  'key-reused',
  'range-too-large',
  'range-too-heavy',
  'transaction-too-large',
  'lease-not-found',
  'too-many-leases',
  'too-many-attached-keys',
])

function stepWrite(
  { state, key }: { readonly state: KeyState; readonly key: Key },
  command: ClientCommand,
  answer: Answer | null,
): readonly KeyState[] {
  const result = answer?.type === 'write' ? answer.result : null
  if (result !== null && REFUSALS.has(result.type)) return [state]
  if (command.type === 'transaction')
    return stepTransaction({ state, key }, command, result?.type === 'transaction' ? result : null)
  if (result?.type === 'range-deleted') return result.next === null || key < result.next ? [ABSENT] : [state]
  if (command.type === 'delete-range') return state.value === null && answer === null ? [] : [ABSENT]
  if (command.type !== 'put' && command.type !== 'delete') return [state]
  if (result?.type === 'condition-failed') return refuse(state, command.condition, result.currentRevision)
  if (result !== null && result.type !== 'put' && result.type !== 'deleted') return []
  return allow(state, command.condition).flatMap((allowed) => take(allowed, command, result))
}

function take(
  state: KeyState,
  command: PutCommand | DeleteCommand,
  result: Extract<CommandResult, { type: 'put' | 'deleted' }> | null,
): readonly KeyState[] {
  const isTold = result !== null && command.wantsPrevious && result.previousValueForgotten !== true
  const before = isTold ? observe(state, result.previous) : [state]
  return before.flatMap((seen) => {
    if (command.type === 'delete') {
      if (result === null) return seen.value === null ? [] : [ABSENT]
      return result.type === 'deleted' && result.deleted === Number(seen.value !== null) ? [ABSENT] : []
    }
    const version = seen.version + 1
    const value = textOf(command.value)
    if (result === null)
      return [{ value, version, createdAt: seen.value === null ? null : seen.createdAt, modifiedAt: null }]
    if (result.type !== 'put' || result.version !== version) return []
    if (
      seen.value === null ? result.createRevision !== result.revision : differs(seen.createdAt, result.createRevision)
    )
      return []
    return [{ value, version, createdAt: result.createRevision, modifiedAt: result.revision }]
  })
}

function allow(state: KeyState, condition: Condition | null): readonly KeyState[] {
  switch (condition?.type) {
    case undefined:
      return [state]
    case 'absent':
      return state.value === null ? [state] : []
    case 'present':
      return state.value === null ? [] : [state]
    case 'mod-revision':
      if (state.value === null || differs(state.modifiedAt, condition.revision)) return []
      return [{ ...state, modifiedAt: condition.revision }]
  }
}

function refuse(state: KeyState, condition: Condition | null, currentRevision: number | null): readonly KeyState[] {
  if (condition === null) return []
  if (currentRevision === null) return state.value === null && condition.type !== 'absent' ? [state] : []
  if (state.value === null || differs(state.modifiedAt, currentRevision) || condition.type === 'present') return []
  if (condition.type === 'mod-revision' && condition.revision === currentRevision) return []
  return [{ ...state, modifiedAt: currentRevision }]
}

/** The calls that touch `key`. An operation on a range counts as one operation on each of its keys. */
export function callsOn(
  key: Key,
  operations: readonly Operation[],
  believe: (operation: Operation) => number,
): Call<KeyCall>[] {
  const calls: Call<KeyCall>[] = []
  for (const operation of operations) {
    const { outcome, invokedAt, returnedAt } = operation
    if (outcome.kind === 'failed' || !touches(operation, key)) continue
    const answer = outcome.kind === 'answered' ? outcome.answer : null
    if (answer === null && operation.request.type !== 'write') continue
    calls.push({
      invokedAt,
      returnedAt: answer === null ? Infinity : returnedAt,
      input: { operation, key, answer },
      belief: believe(operation),
    })
  }
  return calls
}

/** The position of an operation in the order, as far as its answer tells: a read follows the revision that it reflects. */
export function positionTold({ outcome }: Pick<Operation, 'outcome'>): number {
  if (outcome.kind !== 'answered') return Infinity
  const { answer } = outcome
  const result = answer.type === 'write' ? answer.result : null
  if (result !== null && hasChanged(result)) return result.revision
  return (result?.type === 'condition-failed' ? (result.currentRevision ?? answer.revision) : answer.revision) + 0.5
}

type Change = Extract<WriteResult, { type: 'put' | 'deleted' | 'range-deleted' | 'transaction' }>

/** Whether a write with this result has changed keys. */
export function hasChanged(result: WriteResult): result is Change {
  if (result.type === 'transaction') return changedBy(result.results)
  return result.type === 'put' || ((result.type === 'deleted' || result.type === 'range-deleted') && result.deleted > 0)
}

export function touches({ request }: Operation, key: Key): boolean {
  if (request.type === 'get') return request.key === key
  if (request.type === 'scan') return isBetween(key, request.start, request.end)
  const { command } = request
  if (command.type === 'transaction') {
    const { compares, success, failure } = command
    return compares.some((one) => one.key === key) || [...success, ...failure].some((one) => concerns(one, key))
  }
  if (command.type === 'delete-range') return isBetween(key, command.start, command.end)
  return 'key' in command && command.key === key
}
