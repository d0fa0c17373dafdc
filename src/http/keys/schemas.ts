import { Type, type TSchema } from 'typebox'
import { limits } from '../../limits.ts'

export const revision = (description: string) => Type.Integer({ minimum: 0, description })

const recordMembers = {
  key: Type.String({ minLength: 1 }),
  value: Type.Optional(Type.String({ description: 'The value, when it is valid UTF-8.' })),
  valueBase64: Type.Optional(Type.String({ description: 'The value in base64, when it is not valid UTF-8.' })),
  createRevision: revision('The change that created the key.'),
  modRevision: revision('The change that wrote this value.'),
  version: Type.Integer({ minimum: 1, description: 'Writes since the key was created.' }),
  lease: Type.Integer({ minimum: 0, description: 'The lease that the key is attached to; 0: none.' }),
}

export const RecordSchema = Type.Object(recordMembers, {
  $id: 'Record',
  additionalProperties: false,
  description:
    'A key with its value: `value` or `valueBase64`, neither with `keysOnly`, nor with `prevValueForgotten`.',
})

const previous = Type.Optional(
  Type.Union([Type.Ref('Record'), Type.Null()], { description: 'With `prev=true`: the record before, or null.' }),
)

const valueForgotten = Type.Optional(
  Type.Boolean({
    description:
      'True in the answer to a retry whose `prev` had a value too large to be kept for so long: it is left out.',
  }),
)

export const PutAnswer = Type.Object(
  {
    revision: revision('The revision of this write.'),
    createRevision: revision('The change that created the key.'),
    version: Type.Integer({ minimum: 1 }),
    prev: previous,
    prevValueForgotten: valueForgotten,
  },
  { additionalProperties: false },
)

export const DeleteAnswer = Type.Object(
  {
    revision: revision('The revision of this change; the current one when nothing was deleted.'),
    deleted: Type.Integer({ minimum: 0 }),
    chunks: Type.Optional(Type.Integer({ minimum: 1, description: 'With `chunked=true`: in how many changes.' })),
    prev: previous,
    prevValueForgotten: valueForgotten,
  },
  { additionalProperties: false },
)

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
  'Quorate-Consistency': Type.Unsafe<string>({
    type: 'string',
    enum: ['linearizable', 'lease', 'stale'],
    description: 'What was given.',
  }),
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

export const idempotencyKey = Type.String({
  minLength: 1,
  maxLength: limits.idempotencyKeyBytesMax,
  pattern: '^[\\x21-\\x7e]+$',
  description: 'Names this write: a retry with the same name and the same request gets the first answer.',
})

export const putHeaders = {
  'If-Match': ifMatch,
  'If-None-Match': Type.Unsafe<string>({ type: 'string', enum: ['*'], description: 'Only if the key is absent.' }),
  'Idempotency-Key': idempotencyKey,
}

export const deleteHeaders = { 'If-Match': ifMatch, 'Idempotency-Key': idempotencyKey }

export const getHeaders = {
  'If-None-Match': Type.String({
    examples: ['"12"', '*'],
    description: 'Answer `304` while the key is at this revision; `*`: while it exists.',
  }),
}
