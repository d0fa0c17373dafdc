import { isBetween, type TransactionOperation } from '../../../src/checker/transaction-parts.ts'
import type {
  Command,
  Key,
  KeyRecord,
  KvMachineOptions,
  OperationResult,
  TransactionCommand,
} from '../../../src/kv/index.ts'

type Limits = Pick<KvMachineOptions, 'transaction' | 'rangeDeleteKeysMax'>

/** What a transaction does to a store: the records that it reads, and how it changes them. */
export interface TransactionStore {
  readonly current: ReadonlyMap<Key, KeyRecord>
  readonly change: (key: Key, record: KeyRecord | null) => void
}

/** The bytes of a record's row beside its key and its value: the byte of the keyspace, and the record's header. */
const NAME_EXTRA_BYTES = 1
const RECORD_EXTRA_BYTES = 33

/** Whether the records that both branches name or list have more bytes than a transaction may read. */
export function readsTooMuch(command: TransactionCommand, store: TransactionStore, limits: Limits): boolean {
  const operations = [...command.success, ...command.failure]
  const named = [...new Set(command.compares.map(({ key }) => key))]
  for (const one of operations) if ('key' in one) named.push(one.key)
  let bytes = 0
  for (const key of named) bytes += rowBytesOf(key, store.current.get(key))
  for (const operation of operations) {
    if (operation.type === 'delete-range') {
      // What is removed is read as a whole, to be kept as history.
      const keys = keysWithin(operation, store).slice(0, limits.rangeDeleteKeysMax + 1)
      for (const key of keys) bytes += rowBytesOf(key, store.current.get(key))
    } else if (operation.type === 'list') {
      for (const key of pageOf(operation, store, limits, operation.limit + 1))
        bytes += rowBytesOf(key, store.current.get(key))
    }
  }
  return bytes > limits.transaction.readBytesMax
}

/** The first keys of a list, up to the one with which the bytes of a page are exceeded. */
function pageOf(
  operation: Extract<TransactionOperation, { type: 'list' }>,
  store: TransactionStore,
  limits: Limits,
  max: number,
): Key[] {
  const page: Key[] = []
  let bytes = 0
  for (const key of keysWithin(operation, store)) {
    if (page.length === max || bytes > limits.transaction.listBytesMax) break
    bytes += rowBytesOf(key, store.current.get(key))
    page.push(key)
  }
  return page
}

export function performOperation(
  operation: TransactionOperation,
  index: number,
  store: TransactionStore,
  limits: Limits,
): OperationResult {
  switch (operation.type) {
    case 'put': {
      const before = store.current.get(operation.key) ?? null
      const createRevision = before?.createRevision ?? index
      const version = (before?.version ?? 0) + 1
      const { key, value, lease = 0 } = operation
      store.change(key, { createRevision, modRevision: index, version, lease, value })
      return { type: 'put', createRevision, version, previous: operation.wantsPrevious ? before : null }
    }
    case 'get':
      return { type: 'get', record: store.current.get(operation.key) ?? null }
    case 'delete': {
      const before = store.current.get(operation.key) ?? null
      if (before !== null) store.change(operation.key, null)
      return {
        type: 'delete',
        deleted: before === null ? 0 : 1,
        previous: operation.wantsPrevious ? before : null,
      }
    }
    case 'delete-range': {
      const keys = keysWithin(operation, store)
      for (const key of keys) store.change(key, null)
      return { type: 'delete', deleted: keys.length, previous: null }
    }
    case 'list': {
      const page = pageOf(operation, store, limits, operation.limit)
      const items = page.flatMap((key) => {
        const record = store.current.get(key)
        if (record === undefined) return []
        return [{ key, record: operation.keysOnly ? { ...record, value: new Uint8Array(0) } : record }]
      })
      return { type: 'list', items, more: keysWithin(operation, store).length > page.length }
    }
  }
}

export function keysWithin(
  { start, end }: { readonly start: Key | null; readonly end: Key | null },
  { current }: Pick<TransactionStore, 'current'>,
): Key[] {
  return [...current.keys()].filter((key) => isBetween(key, start, end)).sort((a, b) => (a < b ? -1 : 1))
}

/** The bytes of a key's row, its name included. */
export function rowBytesOf(key: Key, record: KeyRecord | undefined): number {
  return NAME_EXTRA_BYTES + key.length + (record === undefined ? 0 : RECORD_EXTRA_BYTES + record.value.length)
}

/** How many bytes the results of a transaction have where its first answer is kept (kv/operation-result-codec.ts). */
export function resultsBytes(results: readonly OperationResult[]): number {
  const recordBytes = (record: KeyRecord | null): number =>
    record === null ? 1 : 1 + 4 + RECORD_EXTRA_BYTES + record.value.length
  let bytes = 1
  for (const result of results) {
    if (result.type === 'put') bytes += 1 + 8 + 8 + recordBytes(result.previous)
    else if (result.type === 'get') bytes += 1 + recordBytes(result.record)
    else if (result.type === 'delete') bytes += 1 + 4 + recordBytes(result.previous)
    else {
      bytes += 1 + 1 + 4
      for (const { key, record } of result.items) bytes += 2 + key.length + 4 + RECORD_EXTRA_BYTES + record.value.length
    }
  }
  return bytes
}

/** The text that identifies a write in the log; null when it writes none. */
export function markOf(command: Command): string | null {
  const puts = command.type === 'transaction' ? command.success : [command]
  for (const one of puts) if (one.type === 'put') return Buffer.from(one.value).toString('latin1')
  return null
}
