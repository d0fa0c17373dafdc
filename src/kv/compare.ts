import type { Compare, CompareOperator } from './command.ts'
import type { KeyRecord } from './record.ts'

/** Whether `compare` holds of the record that its key has now; null when the key is absent. */
export function compareHolds(compare: Compare, record: KeyRecord | null): boolean {
  if (compare.target === 'value') {
    return record !== null && isOrdered(Buffer.compare(record.value, compare.value), compare.operator)
  }
  return isOrdered(numberOf(compare.target, record) - compare.value, compare.operator)
}

function numberOf(target: Exclude<Compare['target'], 'value'>, record: KeyRecord | null): number {
  if (record === null) return 0
  switch (target) {
    case 'version':
      return record.version
    case 'create-revision':
      return record.createRevision
    case 'mod-revision':
      return record.modRevision
    case 'lease':
      return record.lease
  }
}

/** `difference`: negative, zero or positive, as what is there is below, equal to or above what it is compared with. */
function isOrdered(difference: number, operator: CompareOperator): boolean {
  switch (operator) {
    case '=':
      return difference === 0
    case '!=':
      return difference !== 0
    case '<':
      return difference < 0
    case '>':
      return difference > 0
  }
}
