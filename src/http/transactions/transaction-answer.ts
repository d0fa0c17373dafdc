import type {
  Key,
  KeyRecord,
  Operation,
  OperationResult,
  TransactionCommand,
  TransactionResult,
} from '../../kv/index.ts'
import { assert } from '../../lib/assert.ts'
import { keyOnlyJson, recordJson } from '../protocol/answer.ts'

/**
 * The body of an answer. As bytes, piece by piece: as one text, with six characters for each byte of a value, it could be longer than a text
 * can be.
 */
export function transactionJson(transaction: TransactionCommand, result: TransactionResult): Buffer {
  const { succeeded, revision, results } = result
  const branch = succeeded ? transaction.success : transaction.failure
  const forgotten = result.resultsForgotten === true
  assert(forgotten || results.length === branch.length, 'each operation that was carried out has a result')
  const pieces = [Buffer.from(`{"succeeded":${succeeded},"revision":${revision},"results":[`)]
  for (const [index, one] of results.entries()) {
    if (index > 0) pieces.push(COMMA)
    pieces.push(...outcomeJson(branch[index], one).map((text) => Buffer.from(text)))
  }
  pieces.push(Buffer.from(forgotten ? '],"resultsForgotten":true}' : ']}'))
  return Buffer.concat(pieces)
}

const COMMA = Buffer.from(',')

function outcomeJson(operation: Operation | undefined, result: OperationResult): readonly string[] {
  switch (result.type) {
    case 'put': {
      const { createRevision, version, previous } = result
      const members = `"createRevision":${createRevision},"version":${version}`
      return [`{"put":{${members}${previousMember(operation, previous)}}}`]
    }
    case 'get':
      assert(operation?.type === 'get', 'a get has the result of one')
      return [`{"get":{"record":${recordOrNull(operation.key, result.record)}}}`]
    case 'delete':
      return [`{"delete":{"deleted":${result.deleted}${previousMember(operation, result.previous)}}}`]
    case 'list': {
      assert(operation?.type === 'list', 'a list has the result of one')
      const json = operation.keysOnly ? keyOnlyJson : recordJson
      const items = result.items.flatMap(({ key, record }, at) => [at === 0 ? '' : ',', json(key, record)])
      return ['{"list":{"items":[', ...items, `],"more":${result.more}}}`]
    }
  }
}

function previousMember(operation: Operation | undefined, previous: KeyRecord | null): string {
  if (operation?.type !== 'put' && operation?.type !== 'delete') return ''
  return operation.wantsPrevious ? `,"prev":${recordOrNull(operation.key, previous)}` : ''
}

function recordOrNull(key: Key, record: KeyRecord | null): string {
  return record === null ? 'null' : recordJson(key, record)
}
