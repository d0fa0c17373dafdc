import type { Compare, Key, KeyRecord, OperationResult, TransactionCommand } from '../kv/index.ts'

/*
 * What the parts of a transaction are about and whether its comparisons hold. These are written apart from `kv/`, so that an error there is seen.
 */

export type TransactionOperation = TransactionCommand['success'][number]

/** Whether `compare` holds of a record; null for an absent key. */
export function holdsOf(
  compare: Compare,
  record: (Pick<KeyRecord, 'version' | 'value'> & Revisions) | null,
): boolean | null {
  if (compare.target === 'value') {
    return record !== null && isSo(Buffer.compare(record.value, compare.value), compare.operator)
  }
  const seen = record === null ? 0 : numberOf(compare.target, record)
  return seen === null ? null : isSo(seen - compare.value, compare.operator)
}

interface Revisions {
  /** Null when it is not known. */
  readonly createRevision: number | null
  readonly modRevision: number | null
  readonly lease?: number
}

function numberOf(
  target: Exclude<Compare['target'], 'value'>,
  record: Pick<KeyRecord, 'version'> & Revisions,
): number | null {
  if (target === 'version') return record.version
  if (target === 'lease') return record.lease ?? null
  return target === 'create-revision' ? record.createRevision : record.modRevision
}

function isSo(difference: number, operator: Compare['operator']): boolean {
  return { '=': difference === 0, '!=': difference !== 0, '<': difference < 0, '>': difference > 0 }[operator]
}

export function isBetween(key: Key, start: Key | null, end: Key | null): boolean {
  return (start === null || key >= start) && (end === null || key < end)
}

/** Whether `operation` changes `key`, or tells something of it. */
export function concerns(operation: TransactionOperation, key: Key): boolean {
  return 'key' in operation ? operation.key === key : isBetween(key, operation.start, operation.end)
}

/** Whether something was changed by a transaction with these results. */
export function changedBy(results: readonly OperationResult[]): boolean {
  return results.some((result) => result.type === 'put' || (result.type === 'delete' && result.deleted > 0))
}
