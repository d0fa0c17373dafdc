import type { ErrorCode } from '../../lib/errors.ts'
import { leaderErrors } from '../protocol/leader-operation.ts'

/** Errors of a read of keys. */
export const readErrors: readonly ErrorCode[] = [
  'invalid-key',
  'future-revision',
  'compacted',
  'not-initialized',
  ...leaderErrors,
  'read-timeout',
]
