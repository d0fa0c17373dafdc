import { CompactionAnswer, CompactionBody, HistoryAnswer, RetentionBody } from '../../api/history.ts'
import { contextHeaders } from '../../api/keys.ts'
import type { ErrorCode } from '../../lib/errors.ts'
import { presentErrors } from '../keys/read-errors.ts'
import { leaderErrors, redirectAnswer } from '../protocol/leader-operation.ts'
import {
  bodyErrors,
  CLUSTER_ADMIN,
  CLUSTER_READ,
  jsonAnswer,
  type AnswerDoc,
  type Operation,
} from '../protocol/operation.ts'
import { leaderQuery } from '../protocol/queries.ts'
import { compactionQuery, historyQuery } from './queries.ts'

const writeErrors: readonly ErrorCode[] = [
  ...bodyErrors,
  'not-initialized',
  'idempotency-key-reused',
  'feature-unavailable',
  ...leaderErrors,
  'outcome-unknown',
]

function answers(description: string): Readonly<Record<number, AnswerDoc>> {
  return { 200: { ...jsonAnswer(description, CompactionAnswer), headers: contextHeaders }, 307: redirectAnswer }
}

export const listVersions: Operation = {
  id: 'listVersions',
  access: 'keys',
  tag: 'keys',
  summary: 'The versions of a key',
  description:
    'The record that the key has, and those before it that can still be read, the newest first; a deletion is a version too. ' +
    'No versions: the key was absent as far back as history reaches.',
  query: historyQuery.spec,
  answers: {
    200: { ...jsonAnswer('A page of versions.', HistoryAnswer), headers: contextHeaders },
    307: redirectAnswer,
  },
  errors: ['invalid-key', ...presentErrors],
}

export const getCompaction: Operation = {
  id: 'getCompaction',
  access: CLUSTER_READ,
  tag: 'operating',
  summary: 'How much history there is, and how much is kept',
  query: compactionQuery.spec,
  answers: answers('The state of history.'),
  errors: presentErrors,
}

export const compact: Operation = {
  id: 'compact',
  access: CLUSTER_ADMIN,
  tag: 'operating',
  summary: 'Forget what is older than a revision',
  description:
    'Earlier revisions can no longer be read from then on; their rows are removed in the background. A revision that is compacted ' +
    'already changes nothing.',
  query: leaderQuery.spec,
  retried:
    'A retry changes nothing; its answer has the numbers of now. One whose first try was refused (`future-revision`) is refused again, also ' +
    'when there is such a revision by then.',
  body: { schema: CompactionBody, required: true },
  answers: answers('Compacted. The numbers are those of now, also in the answer to a retry.'),
  errors: [...writeErrors, 'future-revision'],
}

export const setRetention: Operation = {
  id: 'setRetention',
  access: CLUSTER_ADMIN,
  tag: 'operating',
  summary: 'Set how much history the cluster keeps',
  description: 'What exceeds any of the three is removed, the oldest first. With `revisions: 0` nothing is recorded.',
  query: leaderQuery.spec,
  retried:
    'A retry sets nothing; its answer has the numbers of now, and the retention that somebody else may have set since.',
  body: { schema: RetentionBody, required: true },
  answers: answers('Set. What exceeds it is removed in the background.'),
  errors: writeErrors,
}
