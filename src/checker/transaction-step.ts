import type { Compare, Key, OperationResult, TransactionCommand, TransactionResult } from '../kv/index.ts'
import { ABSENT, differs, observe, type KeyState } from './key-state.ts'
import { textOf } from './operation.ts'
import { concerns, holdsOf, type TransactionOperation } from './transaction-parts.ts'

interface OneKey {
  readonly state: KeyState
  readonly key: Key
}

/**
 * What a transaction did to one key. Whether its parts belong together is not seen here, but by the model of several keys (joint-model.ts).
 * `result` null: its effect is unknown.
 */
export function stepTransaction(
  { state, key }: OneKey,
  command: TransactionCommand,
  result: TransactionResult | null,
): readonly KeyState[] {
  const verdicts = command.compares.filter((one) => one.key === key).map((one) => holdsNow(one, state))
  const maySucceed = !verdicts.includes(false)
  // When every compare is about this key, it alone decides.
  const mayFail = verdicts.length < command.compares.length || verdicts.some((verdict) => verdict !== true)
  return [
    ...(maySucceed && result?.succeeded !== false ? branchSteps({ state, key }, command.success, result) : []),
    ...(mayFail && result?.succeeded !== true ? branchSteps({ state, key }, command.failure, result) : []),
  ]
}

/** What one branch does to one key when it is carried out. `result` null: it is unknown. */
export function branchSteps(
  { state, key }: OneKey,
  branch: readonly TransactionOperation[],
  result: TransactionResult | null,
): readonly KeyState[] {
  if (result === null) return unseen({ state, key }, branch)
  if (result.resultsForgotten === true) return unseen({ state, key }, branch, result.revision)
  let states: readonly KeyState[] = [state]
  for (const [at, operation] of branch.entries()) {
    const seen = result.results[at]
    if (seen === undefined) return []
    if (concerns(operation, key))
      states = states.flatMap((one) => stepSeen({ state: one, key }, operation, seen, result.revision))
  }
  return states
}

/** Null: what is known of the key does not decide it. */
export function holdsNow(compare: Compare, state: KeyState): boolean | null {
  if (state.value === null) return holdsOf(compare, null)
  const { value, version, createdAt, modifiedAt } = state
  return holdsOf(compare, {
    value: Buffer.from(value, 'latin1'),
    version,
    createRevision: createdAt,
    modRevision: modifiedAt,
  })
}

function stepSeen(
  { state, key }: OneKey,
  operation: TransactionOperation,
  result: OperationResult,
  revision: number,
): readonly KeyState[] {
  switch (operation.type) {
    case 'put': {
      if (result.type !== 'put') return []
      const before = operation.wantsPrevious ? observe(state, result.previous) : [state]
      return before.flatMap((seen) => {
        if (result.version !== seen.version + 1) return []
        const isNew = seen.value === null
        if (isNew ? result.createRevision !== revision : differs(seen.createdAt, result.createRevision)) return []
        const { createRevision: createdAt, version } = result
        return [{ value: textOf(operation.value), version, createdAt, modifiedAt: revision }]
      })
    }
    case 'get':
      return result.type === 'get' ? observe(state, result.record) : []
    case 'delete': {
      if (result.type !== 'delete' || result.deleted !== Number(state.value !== null)) return []
      return (operation.wantsPrevious ? observe(state, result.previous) : [state]).map(() => ABSENT)
    }
    case 'delete-range':
      return result.type === 'delete' ? [ABSENT] : []
    case 'list': {
      if (result.type !== 'list') return []
      const item = result.items.find((one) => one.key === key)
      const last = result.items.at(-1)?.key
      if (item === undefined) return result.more && (last === undefined || key > last) ? [state] : observe(state, null)
      if (!operation.keysOnly) return observe(state, item.record)
      return observe(state, { ...item.record, value: Buffer.from(state.value ?? '', 'latin1') })
    }
  }
}

/** The same without knowing the results. `revision`: that of the change, if it is known. */
function unseen(
  { state, key }: OneKey,
  branch: readonly TransactionOperation[],
  revision: number | null = null,
): readonly KeyState[] {
  let after = state
  for (const operation of branch) {
    if (!concerns(operation, key)) continue
    if (operation.type === 'put') {
      const createdAt = after.value === null ? revision : after.createdAt
      after = { value: textOf(operation.value), version: after.version + 1, createdAt, modifiedAt: revision }
    } else if (operation.type === 'delete' || operation.type === 'delete-range') {
      after = ABSENT
    }
  }
  return [after]
}
