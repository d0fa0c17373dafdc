import { Type, type TSchema } from 'typebox'
import { limits } from '../limits.ts'
import { choice, closed, nullable, object, ref, type Shape } from './schema.ts'

/* The shapes that `/kv` takes and gives. */

export const CONSISTENCIES = ['linearizable', 'lease', 'stale'] as const
export type Consistency = (typeof CONSISTENCIES)[number]

const revision = (description: string) => Type.Integer({ minimum: 0, description })

const recordMembers = {
  key: Type.String({ minLength: 1 }),
  value: Type.Optional(Type.String({ description: 'The value, when it is valid UTF-8.' })),
  valueBase64: Type.Optional(Type.String({ description: 'The value in base64, when it is not valid UTF-8.' })),
  createRevision: revision('The change that created the key.'),
  modRevision: revision('The change that wrote this value.'),
  version: Type.Integer({ minimum: 1, description: 'Writes since the key was created.' }),
  lease: Type.Integer({ minimum: 0, description: 'The lease that the key is attached to; 0: none.' }),
}

export const RecordView = Type.Object(recordMembers, {
  $id: 'Record',
  ...closed,
  description:
    'A key with its value: `value` or `valueBase64`, neither with `keysOnly`, nor with `prevValueForgotten`.',
})
export type RecordView = Shape<typeof RecordView>

const ignored = Type.Optional(Type.Integer({ minimum: 0, description: 'Ignored: what a listing tells of a record.' }))

export const ImportRecord = Type.Object(
  {
    key: Type.String({ format: 'key', description: `1 to ${limits.keyBytesMax} bytes of UTF-8.` }),
    value: Type.Optional(Type.String({ format: 'text', description: 'The value, when it is text in valid Unicode.' })),
    valueBase64: Type.Optional(Type.String({ format: 'base64', description: 'The value in base64, whatever it is.' })),
    createRevision: ignored,
    modRevision: ignored,
    version: ignored,
    lease: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'The record is written without it: the answer counts these.',
      }),
    ),
  },
  {
    $id: 'ImportRecord',
    ...closed,
    description:
      'One line of an import: a key, and its value as `value` or as `valueBase64`. A record of a listing is one.',
    examples: [{ key: 'app/1', value: 'one' }],
  },
)
export type ImportRecord = Shape<typeof ImportRecord>

export const ImportAnswer = object({
  imported: Type.Integer({ minimum: 0, description: 'How many records are written.' }),
  revision: revision('The revision of the last change; the current one when there were no records.'),
  leasesDropped: Type.Integer({
    minimum: 0,
    description: 'How many of the records named a lease. They are written, and attached to none.',
  }),
})
export type ImportAnswer = Shape<typeof ImportAnswer>

const previous = Type.Optional(nullable(ref(RecordView), 'With `prev=true`: the record before, or null.'))

const valueForgotten = Type.Optional(
  Type.Boolean({
    description:
      'True in the answer to a retry whose `prev` had a value too large to be kept for so long: it is left out.',
  }),
)

export const PutAnswer = object({
  revision: revision('The revision of this write.'),
  createRevision: revision('The change that created the key.'),
  version: Type.Integer({ minimum: 1 }),
  lease: Type.Optional(Type.Integer({ minimum: 1, description: 'With `ttl`: the lease of the key.' })),
  prev: previous,
  prevValueForgotten: valueForgotten,
})
export type PutAnswer = Shape<typeof PutAnswer>

export const DeleteAnswer = object({
  revision: revision('The revision of this change; the current one when nothing was deleted.'),
  deleted: Type.Integer({ minimum: 0 }),
  chunks: Type.Optional(Type.Integer({ minimum: 1, description: 'With `chunked=true`: in how many changes.' })),
  prev: previous,
  prevValueForgotten: valueForgotten,
})
export type DeleteAnswer = Shape<typeof DeleteAnswer>

export const ListAnswer = object({
  items: Type.Array(ref(RecordView), { maxItems: limits.listItemsMax }),
  revision: revision('What the page reflects.'),
  cursor: Type.Optional(Type.String({ description: 'Where the next page begins; absent on the last.' })),
})
export type ListAnswer = Shape<typeof ListAnswer>

export const CountAnswer = object({
  count: Type.Integer({ minimum: 0 }),
  revision: revision('What the count reflects.'),
})
export type CountAnswer = Shape<typeof CountAnswer>

export const keyPath = {
  key: Type.String({
    minLength: 1,
    maxLength: limits.keyBytesMax,
    description: `The key, percent-encoded: 1 to ${limits.keyBytesMax} bytes of UTF-8. A slash may stand as it is.`,
  }),
}

export const contextHeaders: Readonly<Record<string, TSchema>> = {
  'Quorate-Revision': revision('The revision of the store that the answer reflects.'),
  'Quorate-Served-By': Type.Integer({ description: 'The node that answered.' }),
  'Quorate-Leader': Type.Integer({ description: 'The leader; absent when unknown.' }),
  'Quorate-Consistency': choice(CONSISTENCIES, 'What was given.'),
}

export const etagHeader = {
  ETag: Type.String({ examples: ['"12"'], description: 'The modification revision in quotes.' }),
}

export const recordHeaders: Readonly<Record<string, TSchema>> = {
  ...contextHeaders,
  ...etagHeader,
  'Quorate-Create-Revision': revision('The change that created the key.'),
  'Quorate-Mod-Revision': revision('The change that wrote this value.'),
  'Quorate-Version': Type.Integer({ minimum: 1, description: 'Writes since the key was created.' }),
  'Quorate-Lease': Type.Integer({ minimum: 1, description: 'The lease that the key is attached to; absent: none.' }),
}

const ifMatch = Type.String({
  examples: ['"12"', '*'],
  description: 'Only if the key is at this revision; `*`: only if it exists.',
})

/** The header that names a write. `description` says what it does for the write of the operation. */
export const idempotencyKey = (description: string) =>
  Type.String({ minLength: 1, maxLength: limits.idempotencyKeyBytesMax, pattern: '^[\\x21-\\x7e]+$', description })

export const putHeaders = { 'If-Match': ifMatch, 'If-None-Match': choice(['*'], 'Only if the key is absent.') }

export const deleteHeaders = { 'If-Match': ifMatch }

export const getHeaders = {
  'If-None-Match': Type.String({
    examples: ['"12"', '*'],
    description: 'Answer `304` while the key is at this revision; `*`: while it exists.',
  }),
}
