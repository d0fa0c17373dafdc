import { Type } from 'typebox'
import { limits } from '../../limits.ts'
import { idempotencyKey, revision } from '../keys/schemas.ts'

export const ListAnswer = Type.Object(
  {
    items: Type.Array(Type.Ref('Record'), { maxItems: limits.listItemsMax }),
    revision: revision('What the page reflects.'),
    cursor: Type.Optional(Type.String({ description: 'Where the next page begins; absent on the last.' })),
  },
  { additionalProperties: false },
)

export const CountAnswer = Type.Object(
  { count: Type.Integer({ minimum: 0 }), revision: revision('What the count reflects.') },
  { additionalProperties: false },
)

export const deleteRangeHeaders = { 'Idempotency-Key': idempotencyKey }
