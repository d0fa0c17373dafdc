import { contextHeaders } from '../../api/keys.ts'
import { TransactionAnswer, TransactionBody } from '../../api/transactions.ts'
import { limits } from '../../limits.ts'
import { leaderErrors, redirectAnswer } from '../protocol/leader-operation.ts'
import { bodyErrors, jsonAnswer, type Operation } from '../protocol/operation.ts'
import { leaderQuery } from '../protocol/queries.ts'

const MiB = 1024 ** 2

export const transact: Operation = {
  id: 'transact',
  access: 'keys',
  tag: 'keys',
  summary: 'Compare, then change and read several keys at once',
  description:
    'When every comparison holds, the operations in `success` are carried out, otherwise those in `failure`: as one atomic change with ' +
    'one revision. A branch writes no key twice, and lists and deletes no range in which an earlier operation of it writes. The values in ' +
    `it have at most ${limits.transactionValueBytesMax / MiB} MiB together, the records that it names or lists ` +
    `${limits.transaction.readBytesMax / MiB} MiB, and its ranges delete at most ${limits.rangeDeleteKeysMax} keys.`,
  query: leaderQuery.spec,
  retried:
    'A retry gets the first answer and changes nothing: the branch that was carried out, and what was read, are those of the first try. Large ' +
    'results are not kept as long as the answer; they may be missing then, and `resultsForgotten` says so.',
  body: {
    schema: TransactionBody,
    required: true,
    bytesMax: limits.transactionBodyBytesMax,
    valuesMax: limits.transactionBodyValuesMax,
  },
  answers: {
    200: { ...jsonAnswer('Carried out: one of the two branches.', TransactionAnswer), headers: contextHeaders },
    307: redirectAnswer,
  },
  errors: [
    ...bodyErrors,
    'invalid-key',
    'value-encoding',
    'value-too-large',
    'not-initialized',
    'idempotency-key-reused',
    'range-too-large',
    'transaction-too-large',
    'feature-unavailable',
    'lease-not-found',
    'too-many-attached-keys',
    ...leaderErrors,
    'no-space',
    'outcome-unknown',
  ],
}
