import type { ErrorCode } from '../../lib/errors.ts'
import { leaderErrors } from '../protocol/leader-operation.ts'

/** Errors of a read of what is there now. */
export const presentErrors: readonly ErrorCode[] = [
  'future-revision',
  'not-initialized',
  ...leaderErrors,
  'read-timeout',
]

/** Errors of a read of keys, now or at a past revision. */
export const readErrors: readonly ErrorCode[] = ['invalid-key', 'compacted', ...presentErrors]
