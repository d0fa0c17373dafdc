import type { DeleteRangeCommand, Key, TransactionCommand } from '../kv/index.ts'
import { keyModel, touches, type KeyCall } from './key-model.ts'
import { ABSENT, type KeyState } from './key-state.ts'
import type { Call, Model } from './linearizability.ts'
import type { Operation, WriteResult } from './operation.ts'
import { branchSteps, holdsNow } from './transaction-step.ts'

/** One operation, with its effect on all keys and its view of them. */
export type JointCall = Omit<KeyCall, 'key'>

/** The states of several keys, in one order. */
type JointState = readonly KeyState[]

/** All keys together: what one operation does to some of them, or sees of them, is one moment. `given`: every key that there ever is. */
export function jointModel(given: readonly Key[]): Model<JointState, JointCall> {
  const keys = [...given].sort()
  const names = new WeakMap<KeyState, string>()
  const places = new WeakMap<Operation, readonly number[]>()
  const nameOf = (state: KeyState): string => {
    const known = names.get(state)
    if (known !== undefined) return known
    const name = keyModel.keyOf(state)
    names.set(state, name)
    return name
  }
  /** Where the keys are that `operation` touches. A search tries an operation many times. */
  const placesOf = (operation: Operation): readonly number[] => {
    const known = places.get(operation)
    if (known !== undefined) return known
    const found = keys.flatMap((key, at) => (touches(operation, key) ? [at] : []))
    places.set(operation, found)
    return found
  }
  return {
    initial: keys.map(() => ABSENT),
    step(states, call) {
      const { request } = call.operation
      const touched = placesOf(call.operation)
      const result = call.answer?.type === 'write' ? call.answer.result : null
      if (request.type === 'write' && request.command.type === 'transaction')
        return stepTransaction({ keys, states, touched }, request.command, result)
      if (request.type === 'write' && request.command.type === 'delete-range' && result === null)
        return removals({ keys, states, touched }, request.command)
      const removed = removedOf(result)
      if (removed !== null && removed !== countOf({ keys, states, touched }, call)) return []
      return together({ keys, states, touched }, ({ state, key }) => keyModel.step(state, { ...call, key }))
    },
    keyOf: (states) => states.map(nameOf).join('/'),
  }
}

/** The calls that touch one of `keys`, each once. */
export function jointCalls(
  keys: readonly Key[],
  operations: readonly Operation[],
  believe: (operation: Operation) => number,
): Call<JointCall>[] {
  return operations.flatMap((operation): Call<JointCall>[] => {
    const { outcome, request, invokedAt, returnedAt } = operation
    const answer = outcome.kind === 'answered' ? outcome.answer : null
    if (outcome.kind === 'failed' || (answer === null && request.type !== 'write')) return []
    if (!keys.some((key) => touches(operation, key))) return []
    const input = { operation, answer }
    return [{ invokedAt, returnedAt: answer === null ? Infinity : returnedAt, input, belief: believe(operation) }]
  })
}

interface Joint {
  readonly keys: readonly Key[]
  readonly states: JointState
  /** Where the keys are that the operation touches. */
  readonly touched: readonly number[]
}

interface OneKey {
  readonly state: KeyState
  readonly key: Key
}

/** All of its comparisons are judged together, and one branch is carried out whole. */
function stepTransaction(joint: Joint, command: TransactionCommand, result: WriteResult | null): readonly JointState[] {
  const { keys, states } = joint
  // A refusal.
  if (result !== null && result.type !== 'transaction') return [states]
  const verdicts = command.compares.map((one) => {
    const state = states[keys.indexOf(one.key)]
    return state === undefined ? null : holdsNow(one, state)
  })
  const maySucceed = !verdicts.includes(false)
  const mayFail = verdicts.some((verdict) => verdict !== true)
  const carryOut = (branch: TransactionCommand['success']): readonly JointState[] =>
    together(joint, (one) => branchSteps(one, branch, result))
  return [
    ...(maySucceed && result?.succeeded !== false ? carryOut(command.success) : []),
    ...(mayFail && result?.succeeded !== true ? carryOut(command.failure) : []),
  ]
}

/**
 * What the removal of a range may have done whose answer nobody knows: it has removed all keys, or, up to a limit, the first ones. Most are
 * below the limit, so all keys come first.
 */
function removals({ states, touched }: Joint, { upToLimit }: DeleteRangeCommand): readonly JointState[] {
  const doomed = touched.filter((at) => states[at]?.value !== null)
  return doomed
    .filter((last) => upToLimit || last === doomed.at(-1))
    .reverse()
    .map((last) => states.map((state, at) => (at <= last && doomed.includes(at) ? ABSENT : state)))
}

/** Every combination of what is possible for each key that is touched; none when nothing is possible for one of them. */
function together({ keys, states, touched }: Joint, step: (one: OneKey) => readonly KeyState[]): readonly JointState[] {
  let all: readonly JointState[] = [states]
  for (const at of touched) {
    const [key, state] = [keys[at], states[at]]
    if (key === undefined || state === undefined) continue
    const possible = step({ state, key })
    if (possible.length === 0) return []
    // What is only seen changes nothing, and most of what is touched is only seen.
    if (possible.length === 1 && possible[0] === state) continue
    all = all.flatMap((before) => possible.map((after) => before.with(at, after)))
  }
  return all
}

/** How many keys a removal has removed, of a whole range; null when that is not told. */
function removedOf(result: WriteResult | null): number | null {
  return result?.type === 'deleted' || result?.type === 'range-deleted' ? result.deleted : null
}

/** How many keys there are that a removal concerns. */
function countOf({ keys, states, touched }: Joint, { answer }: JointCall): number {
  const next = answer?.type === 'write' && answer.result.type === 'range-deleted' ? answer.result.next : null
  return touched.filter((at) => {
    const key = keys[at]
    return key !== undefined && states[at]?.value !== null && (next === null || key < next)
  }).length
}
