import { DamagedBytesError, readWhole, type ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import type { Key } from './key.ts'
import { decodeRecord, encodeRecord, type KeyRecord } from './record.ts'
import type { OperationResult } from './result.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/*
 * The results of a transaction, as its first answer holds them: their number u8, then each with its type u8.
 *
 *   put     createRevision u64, version u64, the previous record
 *   get     the record
 *   delete  deleted u32, the previous record
 *   list    more u8, number of items u32, each: key, record
 *   A record is preceded by 1, or is 0 when there is none.
 */
const TYPES = ['put', 'get', 'delete', 'list'] as const

export function encodeOperationResults(results: readonly OperationResult[]): Uint8Array {
  const writer = new ByteWriter().u8(results.length)
  for (const result of results) writeResult(writer, result)
  return writer.done()
}

function writeResult(writer: ByteWriter, result: OperationResult): void {
  writer.u8(TYPES.indexOf(result.type))
  switch (result.type) {
    case 'put':
      writer.u64(result.createRevision).u64(result.version)
      return writeRecord(writer, result.previous)
    case 'get':
      return writeRecord(writer, result.record)
    case 'delete':
      writer.u32(result.deleted)
      return writeRecord(writer, result.previous)
    case 'list':
      writer.u8(result.more ? 1 : 0).u32(result.items.length)
      for (const { key, record } of result.items) writer.text(key).bytes(encodeRecord(record))
  }
}

function writeRecord(writer: ByteWriter, record: KeyRecord | null): void {
  if (record === null) writer.u8(0)
  else writer.u8(1).bytes(encodeRecord(record))
}

/** Values are slices of `bytes`, not copies. Throws `UnreadableStateError`. */
export function decodeOperationResults(bytes: Uint8Array): readonly OperationResult[] {
  return readWhole(
    bytes,
    (reader) => Array.from({ length: reader.u8() }, () => readResult(reader)),
    (what) => new UnreadableStateError(`the results of a transaction are damaged: ${what}`),
  )
}

function readResult(reader: ByteReader): OperationResult {
  const type = TYPES[reader.u8()]
  if (type === undefined) throw new DamagedBytesError('a result has a type that this build does not know')
  switch (type) {
    case 'put':
      return { type, createRevision: reader.u64(), version: reader.u64(), previous: readRecord(reader) }
    case 'get':
      return { type, record: readRecord(reader) }
    case 'delete':
      return { type, deleted: reader.u32(), previous: readRecord(reader) }
    case 'list': {
      const more = reader.u8() === 1
      const count = reader.u32()
      const items: { key: Key; record: KeyRecord }[] = []
      // One at a time: a damaged number must not reserve memory.
      while (items.length < count) items.push({ key: reader.text() as Key, record: decodeRecord(reader.bytes()) })
      return { type, items, more }
    }
  }
}

function readRecord(reader: ByteReader): KeyRecord | null {
  return reader.u8() === 0 ? null : decodeRecord(reader.bytes())
}
