import type { RecordView } from '../api/keys.ts'
import type { OperationOutcome, TransactionAnswer, TransactionBody, TransactionOperation } from '../api/transactions.ts'
import { isJsonObject } from '../lib/json.ts'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'
import { shown, withClient, type ConnectionOptions } from './connection.ts'
import { describeValue } from './kv.ts'
import { wholeFile, wholeInput } from './source-file.ts'
import { formatTable, printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

/** Carries out the transaction in `file`, or in the standard input. A comparison that does not hold is a condition that failed. */
export async function transact(
  terminal: Terminal,
  file: string | undefined,
  options: ConnectionOptions,
): Promise<number> {
  let succeeded = true
  const code = await withClient(terminal, options, async (client) => {
    // What is wrong with the options is told before the input is waited for.
    const text = await textFrom(terminal, file)
    const transaction = transactionIn(text, file)
    const answer = await client.sendTransaction(text)
    succeeded = answer.succeeded
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : describe(transaction, answer))
  })
  return code === exitCodes.stopped && !succeeded ? exitCodes.conditionFailed : code
}

async function textFrom(terminal: Terminal, file: string | undefined): Promise<Uint8Array> {
  if (file === undefined || file === '-') {
    if (!terminal.hasInput)
      throw new UsageError('there is no transaction: name a file, or give it on the standard input')
    return await wholeInput(terminal, limits.transactionBodyBytesMax)
  }
  return await wholeFile(file, limits.transactionBodyBytesMax)
}

/** The text is sent as it is, so that the node sees every mistake in it; what it says is needed to show the results. */
function transactionIn(text: Uint8Array, file = '-'): TransactionBody {
  const place = file === '-' ? 'the standard input' : shown(file)
  try {
    const document: unknown = JSON.parse(new TextDecoder().decode(text))
    if (isJsonObject(document)) return document
  } catch (error) {
    throw new UsageError(`${place} holds no JSON: ${printable(toError(error).message)}`)
  }
  throw new UsageError(`${place} holds no transaction: {"compare": [...], "success": [...], "failure": [...]}`)
}

type Row = readonly [operation: string, keys: string, revision: string, result: string]

function describe({ success = [], failure = [] }: TransactionBody, answer: TransactionAnswer): string {
  const { succeeded, revision, results, resultsForgotten } = answer
  const head = `${succeeded ? 'succeeded' : 'failed'}, revision ${revision}\n`
  if (resultsForgotten === true) return `${head}the results were too large to be kept until this retry\n`
  const branch = succeeded ? success : failure
  const rows = results.flatMap((outcome, at) => rowsOf(branch[at], outcome, revision))
  return rows.length === 0 ? head : `${head}${formatTable(['OPERATION', 'KEY', 'REVISION', 'RESULT'], rows)}`
}

function rowsOf(operation: TransactionOperation | undefined, outcome: OperationOutcome, revision: number): Row[] {
  const keys = operation === undefined ? '' : keysOf(operation)
  if ('put' in outcome) {
    const { version, prev } = outcome.put
    return [['put', keys, String(revision), `version ${version}`], ...rowsBefore(keys, prev)]
  }
  if ('get' in outcome) return [rowOf('get', keys, outcome.get.record)]
  if ('delete' in outcome) {
    const { deleted, prev } = outcome.delete
    return [['delete', keys, deleted === 0 ? '' : String(revision), `${deleted} deleted`], ...rowsBefore(keys, prev)]
  }
  const { items, more } = outcome.list
  const count = `${items.length} records${more ? ', and there are more' : ''}`
  return [['list', keys, '', count], ...items.map((record) => rowOf('', printable(record.key), record))]
}

function rowsBefore(keys: string, prev: RecordView | null | undefined): Row[] {
  return prev === undefined ? [] : [rowOf('  before', keys, prev)]
}

function rowOf(operation: string, key: string, record: RecordView | null): Row {
  if (record === null) return [operation, key, '', '(absent)']
  const hasValue = record.value !== undefined || record.valueBase64 !== undefined
  return [operation, key, String(record.modRevision), hasValue ? describeValue(record) : '']
}

/** The key of an operation, or its range: `a..b`, `a*`. */
function keysOf(operation: TransactionOperation): string {
  if ('put' in operation) return printable(operation.put.key)
  if ('get' in operation) return printable(operation.get.key)
  const bounds: { readonly key?: string; readonly prefix?: string; readonly start?: string; readonly end?: string } =
    'delete' in operation ? operation.delete : operation.list
  const { key, prefix, start = '', end = '' } = bounds
  if (key !== undefined) return printable(key)
  return prefix === undefined ? `${printable(start)}..${printable(end)}` : `${printable(prefix)}*`
}
