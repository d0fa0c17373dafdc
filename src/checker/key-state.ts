import type { KeyRecord } from '../kv/index.ts'
import { textOf } from './operation.ts'

/**
 * One key as far as clients can know it. A revision that no answer has reported is null, and is learnt from the first call that
 * reports it.
 */
export interface KeyState {
  readonly value: string | null
  readonly version: number
  readonly createdAt: number | null
  readonly modifiedAt: number | null
}

export const ABSENT: KeyState = { value: null, version: 0, createdAt: null, modifiedAt: null }

/** The states that remain possible when `record` was observed. */
export function observe(state: KeyState, record: KeyRecord | null): readonly KeyState[] {
  if (record === null || state.value === null) return record === null && state.value === null ? [state] : []
  const { createRevision, modRevision } = record
  if (record.version !== state.version) return []
  if (differs(state.createdAt, createRevision) || differs(state.modifiedAt, modRevision)) return []
  if (textOf(record.value) !== state.value) return []
  if (state.createdAt === createRevision && state.modifiedAt === modRevision) return [state]
  return [{ ...state, createdAt: record.createRevision, modifiedAt: record.modRevision }]
}

export function differs(known: number | null, seen: number): boolean {
  return known !== null && known !== seen
}
