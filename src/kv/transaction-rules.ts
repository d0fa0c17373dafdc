import type { Operation } from './command.ts'
import type { Key } from './key.ts'
import type { KeyRange } from './records.ts'

/** Why operation number `index` of a branch cannot be carried out together with those before it. */
export interface BranchFault {
  readonly index: number
  readonly message: string
}

/**
 * What is wrong with a branch of a transaction as a whole. A change has one revision, so it leaves a key in one state: no key is written
 * twice. And what a list gives is read before anything is changed, so nothing that an earlier operation writes may be in it.
 */
export function branchFaults(branch: readonly Operation[]): readonly BranchFault[] {
  const faults: BranchFault[] = []
  const keys = new Set<Key>()
  const ranges: KeyRange[] = []
  for (const [index, operation] of branch.entries()) {
    switch (operation.type) {
      case 'get':
        break
      case 'put':
      case 'delete': {
        const { key } = operation
        if (keys.has(key) || ranges.some((range) => isWithin(key, range)))
          faults.push({ index, message: 'an earlier operation of this branch writes the same key' })
        keys.add(key)
        break
      }
      case 'delete-range':
      case 'list':
        if ([...keys].some((key) => isWithin(key, operation)) || ranges.some((range) => overlap(range, operation)))
          faults.push({
            index,
            message:
              operation.type === 'list'
                ? 'an earlier operation of this branch writes in this range: put the list before it'
                : 'an earlier operation of this branch writes in this range',
          })
        if (operation.type === 'delete-range') ranges.push(operation)
    }
  }
  return faults
}

function isWithin(key: Key, { start, end }: KeyRange): boolean {
  return (start === null || key >= start) && (end === null || key < end)
}

function overlap(one: KeyRange, other: KeyRange): boolean {
  const from = one.start === null || (other.start !== null && other.start > one.start) ? other.start : one.start
  const to = one.end === null || (other.end !== null && other.end < one.end) ? other.end : one.end
  return from === null || to === null || from < to
}
