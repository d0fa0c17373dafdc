import type { Command } from './command.ts'

/**
 * What this build knows. Members of one cluster may run different builds, so a command that the oldest of them would not know must not be
 * proposed: the cluster has a level, kept in the state, which is raised once every member knows the next one. The machine refuses a command
 * that stands in the log before its level does.
 *
 *   0  put, delete, delete-range
 *   1  transactions, history, leases, locks, roles and tokens
 */
export const FEATURE_LEVEL = 1

/** From this level on the past is recorded. */
export const HISTORY_LEVEL = 1

/** The level that a cluster must have for `command`. The raise of the level itself needs none: it comes before all others. */
export function levelOf(command: Command): number {
  if (command.type !== 'raise-level' && command.token !== undefined) return 1
  switch (command.type) {
    case 'raise-level':
      return 0
    case 'put':
      return command.lease === undefined ? 0 : 1
    case 'delete':
    case 'delete-range':
      return 0
    default:
      return 1
  }
}
