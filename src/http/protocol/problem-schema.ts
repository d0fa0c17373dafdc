import { Type } from 'typebox'
import { failures } from '../../lib/errors.ts'

export const ProblemSchema = Type.Object(
  {
    type: Type.String({ examples: ['urn:quorate:error:no-leader'] }),
    title: Type.String(),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    detail: Type.String({ description: 'What was wrong, and what to do. For people: it may change.' }),
    code: Type.Unsafe<string>({
      type: 'string',
      enum: Object.keys(failures),
      description: 'Stable. docs/ERRORS.md explains each.',
    }),
    retryable: Type.Boolean({
      description: 'The same request, with its `Idempotency-Key` if it has one, may succeed later.',
    }),
    ambiguous: Type.Boolean({ description: 'The write may or may not take effect.' }),
    issues: Type.Optional(
      Type.Array(
        Type.Object({
          path: Type.String({ examples: ['query/limit', 'header/if-match', 'body/members/0/id'] }),
          message: Type.String(),
        }),
        { description: 'With a body, parameter or header that is wrong: what is wrong where.' },
      ),
    ),
    leader: Type.Optional(
      Type.Union([Type.Integer(), Type.Null()], {
        description: 'With `no-leader`: the leader as far as this node knows.',
      }),
    ),
    currentRevision: Type.Optional(
      Type.Union([Type.Integer(), Type.Null()], {
        description: 'With `precondition-failed`: the revision of the key, or null when it is absent.',
      }),
    ),
    compactRevision: Type.Optional(
      Type.Integer({ description: 'With `compacted`: the oldest revision that can be read, or watched from.' }),
    ),
    limitBytes: Type.Optional(
      Type.Integer({
        description: 'With `value-too-large`, `request-too-large`, `range-too-large` and `transaction-too-large`.',
      }),
    ),
  },
  { $id: 'Problem', description: 'A failed request (RFC 9457). Each code may add members of its own.' },
)
