import { assert } from '../lib/assert.ts'
import { limits } from '../limits.ts'
import { DamagedBytesError, type ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import type { Compare, CompareOperator, Operation, TransactionCommand } from './command.ts'
import type { Key } from './key.ts'
import { isLeaseId } from './lease-id.ts'

/*
 * What a transaction asks for, as its entry holds it after the header that all commands share.
 *
 *   number of compares u8, each: target u8, operator u8, key, then the value as bytes, or as u64
 *   number of operations u8, each: type u8, flags u8, then by type; once for success, once for failure
 *     put           key, value as bytes, id of a lease u64 only with HAS_LEASE
 *     get, delete   key
 *     delete-range  start, end
 *     list          limit u32, start, end
 *   A bound that is absent is empty, and its flag is not set.
 */

/** A transaction without its tag. */
export type TransactionBody = Pick<TransactionCommand, 'compares' | 'success' | 'failure'>

/** A number once used never means anything else. */
const TARGETS = ['value', 'version', 'create-revision', 'mod-revision', 'lease'] as const
const OPERATORS: readonly CompareOperator[] = ['=', '!=', '<', '>']
const OPERATIONS = ['put', 'get', 'delete', 'delete-range', 'list'] as const

const WANTS_PREVIOUS = 0b0001
const HAS_START = 0b0010
const HAS_END = 0b0100
const KEYS_ONLY = 0b1000
const HAS_LEASE = 0b1_0000
const FLAGS_OF: Readonly<Record<Operation['type'], number>> = {
  put: WANTS_PREVIOUS | HAS_LEASE,
  get: 0,
  delete: WANTS_PREVIOUS,
  'delete-range': HAS_START | HAS_END,
  list: HAS_START | HAS_END | KEYS_ONLY,
}

/** Every body that passes the checks here decodes to an equal one. */
export function encodeTransactionBody({ compares, success, failure }: TransactionBody): Uint8Array {
  const writer = new ByteWriter()
  assert(compares.length <= limits.transactionComparesMax, 'a transaction has a limited number of compares')
  writer.u8(compares.length)
  for (const compare of compares) writeCompare(writer, compare)
  for (const branch of [success, failure]) {
    assert(branch.length <= limits.transactionOperationsMax, 'a transaction has a limited number of operations')
    writer.u8(branch.length)
    for (const operation of branch) writeOperation(writer, operation)
  }
  return writer.done()
}

function writeCompare(writer: ByteWriter, compare: Compare): void {
  writer.u8(TARGETS.indexOf(compare.target)).u8(OPERATORS.indexOf(compare.operator)).text(compare.key)
  if (compare.target === 'value') writer.bytes(compare.value)
  else writer.u64(compare.value)
}

function writeOperation(writer: ByteWriter, operation: Operation): void {
  writer.u8(OPERATIONS.indexOf(operation.type)).u8(flagsOf(operation))
  switch (operation.type) {
    case 'put':
      writer.text(operation.key).bytes(operation.value)
      if (operation.lease !== undefined) writer.u64(operation.lease)
      return
    case 'get':
    case 'delete':
      writer.text(operation.key)
      return
    case 'delete-range':
      writer.text(operation.start ?? '').text(operation.end ?? '')
      return
    case 'list':
      writer
        .u32(operation.limit)
        .text(operation.start ?? '')
        .text(operation.end ?? '')
  }
}

function flagsOf(operation: Operation): number {
  switch (operation.type) {
    case 'get':
      return 0
    case 'put':
      return (operation.wantsPrevious ? WANTS_PREVIOUS : 0) | (operation.lease === undefined ? 0 : HAS_LEASE)
    case 'delete':
      return operation.wantsPrevious ? WANTS_PREVIOUS : 0
    case 'delete-range':
      return boundsOf(operation)
    case 'list':
      return boundsOf(operation) | (operation.keysOnly ? KEYS_ONLY : 0)
  }
}

function boundsOf({ start, end }: { readonly start: Key | null; readonly end: Key | null }): number {
  return (start === null ? 0 : HAS_START) | (end === null ? 0 : HAS_END)
}

/** Values are slices, not copies. Throws `DamagedBytesError` for what is no body, or exceeds the limits of a transaction. */
export function readTransactionBody(reader: ByteReader): TransactionBody {
  const compares = readMany(reader, limits.transactionComparesMax, readCompare)
  const success = readMany(reader, limits.transactionOperationsMax, readOperation)
  const failure = readMany(reader, limits.transactionOperationsMax, readOperation)
  return { compares, success, failure }
}

function readMany<T>(reader: ByteReader, max: number, read: (reader: ByteReader) => T): T[] {
  const count = reader.u8()
  if (count > max)
    throw new DamagedBytesError(`a transaction has ${count} parts of one kind; at most ${max} are possible`)
  return Array.from({ length: count }, () => read(reader))
}

function readCompare(reader: ByteReader): Compare {
  const target = nameOf(TARGETS, reader.u8())
  const operator = nameOf(OPERATORS, reader.u8())
  const key = readKey(reader)
  if (target !== 'value') return { key, target, operator, value: reader.u64() }
  return { key, target, operator, value: readValue(reader) }
}

function readOperation(reader: ByteReader): Operation {
  const type = nameOf(OPERATIONS, reader.u8())
  const flags = reader.u8()
  if ((flags & ~FLAGS_OF[type]) !== 0) throw new DamagedBytesError(`an operation has unknown flags: ${flags}`)
  const wantsPrevious = (flags & WANTS_PREVIOUS) !== 0
  switch (type) {
    case 'put':
      return readPut(reader, wantsPrevious, (flags & HAS_LEASE) !== 0)
    case 'get':
      return { type, key: readKey(reader) }
    case 'delete':
      return { type, key: readKey(reader), wantsPrevious }
    case 'delete-range':
      return { type, ...readBounds(reader, flags) }
    case 'list': {
      const limit = reader.u32()
      if (limit < 1 || limit > limits.listItemsMax) throw new DamagedBytesError(`a list of ${limit} records`)
      return { type, ...readBounds(reader, flags), limit, keysOnly: (flags & KEYS_ONLY) !== 0 }
    }
  }
}

function readPut(reader: ByteReader, wantsPrevious: boolean, hasLease: boolean): Operation {
  const put = { type: 'put', key: readKey(reader), value: readValue(reader), wantsPrevious } as const
  if (!hasLease) return put
  const lease = reader.u64()
  if (!isLeaseId(lease)) throw new DamagedBytesError(`${lease} is no id of a lease`)
  return { ...put, lease }
}

function readBounds(reader: ByteReader, flags: number): { readonly start: Key | null; readonly end: Key | null } {
  const start = readBound(reader, (flags & HAS_START) !== 0)
  const end = readBound(reader, (flags & HAS_END) !== 0)
  return { start, end }
}

function readBound(reader: ByteReader, isPresent: boolean): Key | null {
  const text = reader.text()
  if (!isPresent && text.length > 0) throw new DamagedBytesError('a bound that is absent has bytes')
  return isPresent ? (text as Key) : null
}

function readKey(reader: ByteReader): Key {
  const text = reader.text()
  if (text.length === 0 || text.length > limits.keyBytesMax)
    throw new DamagedBytesError(`a key of ${text.length} bytes`)
  return text as Key
}

function readValue(reader: ByteReader): Uint8Array {
  const value = reader.bytes()
  if (value.length > limits.valueBytesMaxCeiling) throw new DamagedBytesError(`a value of ${value.length} bytes`)
  return value
}

function nameOf<T>(names: readonly T[], number: number): T {
  const name = names[number]
  if (name === undefined) throw new DamagedBytesError(`${number} has no meaning to this build: run a newer one`)
  return name
}
