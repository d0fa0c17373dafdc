import { Type } from 'typebox'
import type { ErrorCode } from '../../lib/errors.ts'
import type { AnswerDoc } from './operation.ts'

/** Errors of a request that needs the leader. */
export const leaderErrors: readonly ErrorCode[] = [
  'overloaded',
  'no-leader',
  'not-ready',
  'transferring',
  'removed',
  'shutting-down',
]

export const redirectAnswer: AnswerDoc = {
  description: 'With `redirect=true`: where the leader is.',
  headers: { Location: Type.String(), 'Quorate-Leader': Type.Integer({ description: 'The leader.' }) },
}
