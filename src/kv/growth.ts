import type { Command, Operation } from './command.ts'

/**
 * What a command leaves on the disks beside its entry in the log. `store`: records, leases or locks that were not there. `history`: a copy of
 * what it removes, while history is kept.
 */
export type Growth = 'nothing' | 'history' | 'store'

export function growthOf(command: Command): Growth {
  switch (command.type) {
    case 'put':
    case 'lease-grant':
    case 'lock-acquire':
      return 'store'
    case 'delete':
    case 'delete-range':
      return 'history'
    case 'transaction':
      return growthOfOperations([...command.success, ...command.failure])
    // These remove something, keep something alive, or change a table of limited size.
    default:
      return 'nothing'
  }
}

/** Those of both branches: which one is carried out is decided later. */
function growthOfOperations(operations: readonly Operation[]): Growth {
  if (operations.some(({ type }) => type === 'put')) return 'store'
  return operations.some(({ type }) => type === 'delete' || type === 'delete-range') ? 'history' : 'nothing'
}
