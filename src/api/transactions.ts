import { Type, type Static } from 'typebox'
import { limits } from '../limits.ts'
import { choice, nullable, object, ref, type OneOf, type Shape } from './schema.ts'
import { RecordView } from './keys.ts'

/* The shapes that `/txn` takes and gives. */

const keyBytes = `1 to ${limits.keyBytesMax} bytes of UTF-8`
const Key = Type.String({ format: 'key', examples: ['orders/17'], description: `The key: ${keyBytes}.` })

/** Exactly one of these. */
const valueMembers = {
  value: Type.Optional(Type.String({ format: 'text', description: 'The value, when it is text in valid Unicode.' })),
  valueBase64: Type.Optional(Type.String({ format: 'base64', description: 'The value in base64, whatever it is.' })),
}
const oneValue = { 'x-one-of': Object.keys(valueMembers) }

const rangeMembers = {
  prefix: Type.Optional(
    Type.String({
      format: 'key-prefix',
      description: 'Every key that starts with this. Not together with `start` or `end`.',
    }),
  ),
  start: Type.Optional(Type.String({ format: 'key', description: 'The first key of the range.' })),
  end: Type.Optional(Type.String({ format: 'key', description: 'The first key behind the range.' })),
}

const prev = Type.Optional(
  Type.Boolean({ description: 'The result carries the record that was replaced or deleted, or null. Default: false.' }),
)

const operator = choice(['=', '!=', '<', '>'], 'How what the key has stands to what is given here.')

const ValueCompare = object(
  {
    key: Key,
    target: Type.Literal('value', { description: 'Compares the bytes. No comparison holds of an absent key.' }),
    op: operator,
    ...valueMembers,
  },
  oneValue,
)

const NumberCompare = object({
  key: Key,
  target: choice(
    ['version', 'createRevision', 'modRevision', 'lease'],
    'The number of the record to compare. An absent key has 0.',
  ),
  op: operator,
  value: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
})

export const TransactionCompare = Type.Unsafe<Static<typeof ValueCompare> | Static<typeof NumberCompare>>({
  type: 'object',
  discriminator: { propertyName: 'target' },
  oneOf: [ValueCompare, NumberCompare],
})
export type TransactionCompare = Shape<typeof TransactionCompare>

const lease = Type.Optional(
  Type.Integer({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'The lease with which the key goes. Without it, it stays until it is deleted.',
  }),
)

const PutOperation = object({ key: Key, ...valueMembers, lease, prev }, oneValue)
const GetOperation = object({ key: Key })
const DeleteOperation = object(
  { key: Type.Optional(Key), ...rangeMembers, prev },
  { 'x-range': ['key', ...Object.keys(rangeMembers)] },
)
const ListOperation = object(
  {
    ...rangeMembers,
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: limits.listItemsMax,
        description: `How many records at most. Default: ${limits.listItemsDefault}.`,
      }),
    ),
    keysOnly: Type.Optional(Type.Boolean({ description: 'Records without their values. Default: false.' })),
  },
  { 'x-range': Object.keys(rangeMembers) },
)

const operationMembers = {
  put: Type.Optional(PutOperation),
  get: Type.Optional(GetOperation),
  delete: Type.Optional(DeleteOperation),
  list: Type.Optional(ListOperation),
}
const OperationMembers = object(operationMembers, {
  minProperties: 1,
  maxProperties: 1,
  description: 'Exactly one of these.',
})
export const TransactionOperation = Type.Unsafe<OneOf<Static<typeof OperationMembers>>>(OperationMembers)
export type TransactionOperation = Shape<typeof TransactionOperation>

const branch = (description: string) =>
  Type.Optional(Type.Array(TransactionOperation, { maxItems: limits.transactionOperationsMax, description }))

export const TransactionBody = object(
  {
    compare: Type.Optional(
      Type.Array(TransactionCompare, {
        maxItems: limits.transactionComparesMax,
        description: 'What is compared. An empty list holds.',
      }),
    ),
    success: branch('Carried out, in this order, when every comparison holds.'),
    failure: branch('Carried out, in this order, when one of them does not.'),
  },
  {
    examples: [
      {
        compare: [{ key: 'orders/17', target: 'version', op: '=', value: 0 }],
        success: [{ put: { key: 'orders/17', value: 'paid' } }],
        failure: [{ get: { key: 'orders/17' } }],
      },
    ],
  },
)
export type TransactionBody = Shape<typeof TransactionBody>

const count = (minimum: number, description: string) => Type.Integer({ minimum, description })
const previous = Type.Optional(nullable(ref(RecordView), 'With `prev`: the record before, or null.'))

export const OperationOutcome = Type.Union([
  object({
    put: object({
      createRevision: count(1, 'The change that created the key.'),
      version: count(1, 'Writes since the key was created.'),
      prev: previous,
    }),
  }),
  object({ get: object({ record: nullable(ref(RecordView), 'Null: the key is absent.') }) }),
  object({ delete: object({ deleted: count(0, 'How many keys were there, and are gone.'), prev: previous }) }),
  object({
    list: object({
      items: Type.Array(ref(RecordView), { maxItems: limits.listItemsMax }),
      more: Type.Boolean({
        description: `The range holds further records: \`limit\` was reached, or ${limits.transaction.listBytesMax / 1024 ** 2} MiB of records.`,
      }),
    }),
  }),
])
export type OperationOutcome = Shape<typeof OperationOutcome>

export const TransactionAnswer = object({
  succeeded: Type.Boolean({
    description: 'Every comparison held, and `success` was carried out; otherwise `failure`.',
  }),
  revision: count(0, 'The revision of this change; the current one when nothing was changed.'),
  results: Type.Array(OperationOutcome, {
    maxItems: limits.transactionOperationsMax,
    description: 'Of the operations that were carried out, in their order.',
  }),
  resultsForgotten: Type.Optional(
    Type.Boolean({
      description:
        'True in the answer to a retry whose `results` were too large to be kept for so long: `results` is empty.',
    }),
  ),
})
export type TransactionAnswer = Shape<typeof TransactionAnswer>
