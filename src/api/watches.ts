import { Type } from 'typebox'
import { RecordView } from './keys.ts'
import { choice, closed, nullable, ref, type Shape } from './schema.ts'

/* What `/watch` gives. */

export const CHANGE_TYPES = ['put', 'delete'] as const
export type ChangeType = (typeof CHANGE_TYPES)[number]

/** One line of a watch in NDJSON. In Server-Sent Events, `type` is the name of the event and `revision` its id. */
export const WatchEvent = Type.Object(
  {
    type: choice(
      [...CHANGE_TYPES, 'progress', 'error'],
      '`progress`: nothing up to `revision` is missing. `error`: the watch has ended.',
    ),
    revision: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Of the change, shared by all changes that were made together.' }),
    ),
    more: Type.Optional(
      Type.Literal(true, {
        description: 'More changes of this revision follow: resume after it only when the last of them has come.',
      }),
    ),
    key: Type.Optional(Type.String({ minLength: 1 })),
    value: Type.Optional(Type.String({ description: 'The value, when it is valid UTF-8.' })),
    valueBase64: Type.Optional(Type.String({ description: 'The value in base64, when it is not valid UTF-8.' })),
    createRevision: Type.Optional(Type.Integer({ minimum: 0 })),
    modRevision: Type.Optional(Type.Integer({ minimum: 0, description: 'The same as `revision`.' })),
    version: Type.Optional(Type.Integer({ minimum: 1 })),
    lease: Type.Optional(Type.Integer({ minimum: 0 })),
    prev: Type.Optional(nullable(ref(RecordView), 'With `prev=true`: the record before the change, or null.')),
    problem: Type.Optional(
      Type.Unsafe<object>({ $ref: 'Problem', description: 'With `error`: why the watch has ended.' }),
    ),
  },
  { $id: 'WatchEvent', ...closed, description: 'What a watch tells: a change with its record, progress, or its end.' },
)
export type WatchEvent = Shape<typeof WatchEvent>
