import type { OperationOutcome, TransactionCompare, TransactionOperation } from './api-types.ts'
import { textFrom } from './arguments.ts'
import { boundsOf, type Range } from './ranges.ts'
import { headFrom, jsonValue, recordFrom, type KeyHead, type KeyRecord, type Value } from './records.ts'

export type Operator = '=' | '!=' | '<' | '>'

/** A comparison, as the API takes it. */
export type Compare = TransactionCompare

function compareNumber(target: 'version' | 'createRevision' | 'modRevision' | 'lease') {
  return (key: string, op: Operator, value: number): Compare => ({ key: textFrom('key', key), target, op, value })
}

/** Comparisons of a transaction. An absent key has the number 0 everywhere, and no comparison holds of its value. */
export const compare: {
  /** The bytes of the value. */
  readonly value: (key: string, op: Operator, value: Value) => Compare
  /** How often the key was written since it was created. */
  readonly version: (key: string, op: Operator, version: number) => Compare
  readonly createRevision: (key: string, op: Operator, revision: number) => Compare
  readonly modRevision: (key: string, op: Operator, revision: number) => Compare
  readonly lease: (key: string, op: Operator, lease: number) => Compare
  readonly exists: (key: string) => Compare
  readonly absent: (key: string) => Compare
  /** Nobody has written the key since `record` was read. */
  readonly unchanged: (record: KeyHead) => Compare
} = {
  value: (key, op, value) => ({ key: textFrom('key', key), target: 'value', op, ...jsonValue('value', value) }),
  version: compareNumber('version'),
  createRevision: compareNumber('createRevision'),
  modRevision: compareNumber('modRevision'),
  lease: compareNumber('lease'),
  exists: (key) => ({ key: textFrom('key', key), target: 'version', op: '>', value: 0 }),
  absent: (key) => ({ key: textFrom('key', key), target: 'version', op: '=', value: 0 }),
  unchanged: ({ key, modRevision }) => ({
    key: textFrom('key', key),
    target: 'modRevision',
    op: '=',
    value: modRevision,
  }),
}

export interface PutOutcome {
  readonly createRevision: number
  readonly version: number
  /** With `prev`: the record before, or null. */
  readonly prev?: KeyRecord | null
}

export interface DeleteOutcome {
  /** How many keys were there, and are gone. */
  readonly deleted: number
  /** With `prev`: the record before, or null. */
  readonly prev?: KeyRecord | null
}

export interface ListOutcome<Item> {
  readonly items: readonly Item[]
  /** The range holds further records. */
  readonly more: boolean
}

/** One step of a transaction, and how its outcome is read. */
export interface Operation<Outcome> {
  readonly body: TransactionOperation
  readonly outcomeFrom: (view: OperationOutcome) => Outcome
}

/** The outcomes of operations, in their order. */
export type OutcomesOf<Operations extends readonly Operation<unknown>[]> = {
  readonly [At in keyof Operations]: Operations[At] extends Operation<infer Outcome> ? Outcome : never
}

export interface OperationListOptions {
  /** How many records at most: 100 unless said, at most 1000. */
  readonly limit?: number | undefined
}

function misfit(): never {
  throw new TypeError('the outcome is not that of the operation')
}

function listOf<Item>(
  range: Range,
  { limit }: OperationListOptions,
  keysOnly: boolean,
  itemFrom: (view: Parameters<typeof recordFrom>[0]) => Item,
): Operation<ListOutcome<Item>> {
  const rest = { ...(limit === undefined ? {} : { limit }), ...(keysOnly ? { keysOnly } : {}) }
  return {
    body: { list: { ...boundsOf(range), ...rest } },
    outcomeFrom: (view) => ('list' in view ? { items: view.list.items.map(itemFrom), more: view.list.more } : misfit()),
  }
}

function deleteOf(bounds: ReturnType<typeof boundsOf>, prev: boolean): Operation<DeleteOutcome> {
  return {
    body: { delete: { ...bounds, ...(prev ? { prev } : {}) } },
    outcomeFrom(view) {
      if (!('delete' in view)) return misfit()
      const { deleted, prev: before } = view.delete
      return { deleted, ...(before === undefined ? {} : { prev: before === null ? null : recordFrom(before) }) }
    },
  }
}

/** Operations of a transaction. They are carried out in their order, all or none. */
export const op: {
  readonly put: (
    key: string,
    value: Value,
    options?: { readonly prev?: boolean; readonly lease?: number },
  ) => Operation<PutOutcome>
  /** Its outcome is the record, or null. */
  readonly get: (key: string) => Operation<KeyRecord | null>
  readonly delete: (key: string, options?: { readonly prev?: boolean }) => Operation<DeleteOutcome>
  readonly deleteRange: (range: Range) => Operation<DeleteOutcome>
  readonly list: (range: Range, options?: OperationListOptions) => Operation<ListOutcome<KeyRecord>>
  /** The same, without the values. */
  readonly listKeys: (range: Range, options?: OperationListOptions) => Operation<ListOutcome<KeyHead>>
} = {
  put: (key, value, options = {}) => ({
    body: { put: { key: textFrom('key', key), ...jsonValue('value', value), ...options } },
    outcomeFrom(view) {
      if (!('put' in view)) return misfit()
      const { prev, ...rest } = view.put
      return { ...rest, ...(prev === undefined ? {} : { prev: prev === null ? null : recordFrom(prev) }) }
    },
  }),
  get: (key) => ({
    body: { get: { key: textFrom('key', key) } },
    outcomeFrom(view) {
      if (!('get' in view)) return misfit()
      return view.get.record === null ? null : recordFrom(view.get.record)
    },
  }),
  delete: (key, options = {}) => deleteOf({ key: textFrom('key', key) }, options.prev === true),
  deleteRange: (range) => deleteOf(boundsOf(range), false),
  list: (range, options = {}) => listOf(range, options, false, recordFrom),
  listKeys: (range, options = {}) => listOf(range, options, true, headFrom),
}
