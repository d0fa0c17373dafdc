import type { ListOperation, Operation, TransactionCommand } from './command.ts'
import { compareHolds } from './compare.ts'
import type { Digest } from './digest.ts'
import type { Key, RowKey } from './key.ts'
import { leaseRow } from './lease-row.ts'
import type { LeasedKey, Leases } from './leases.ts'
import { decodeRecord, type KeyRecord } from './record.ts'
import { rangeRead, type Records } from './records.ts'
import type { OperationResult, ResultOf } from './result.ts'
import { keyOfRow, recordRow } from './row.ts'
import type { RangeRead, ReadSet, Workspace } from './workspace.ts'

/** The first answer to a transaction. */
export type TransactionOutcome = Exclude<ResultOf<TransactionCommand>, { type: 'key-reused' }>

/** Results depend on these: the same on every node, changed only with the format. */
export interface TransactionLimits {
  /** What the records that a transaction names or lists may have in bytes together; a record counts for each operation that names it. */
  readonly readBytesMax: number
  /** The bytes of records after which a list ends. */
  readonly listBytesMax: number
}

interface TransactionParts {
  readonly records: Records
  readonly leases: Leases
  readonly digest: Digest
}

/** The outcome, as the digest keeps it. A number once used never means anything else. */
const SUCCEEDED = 10
const FAILED = 11
const REFUSED = 12

const NO_VALUE: Uint8Array = new Uint8Array(0)

/** Executes transactions over the records. */
export class Transactions {
  private readonly limits: TransactionLimits
  private readonly deleteKeysMax: number
  private readonly records: Records
  private readonly leases: Leases
  private readonly digest: Digest

  /** `deleteKeysMax`: how many keys one transaction may remove by ranges. */
  constructor(limits: TransactionLimits, deleteKeysMax: number, { records, leases, digest }: TransactionParts) {
    this.limits = limits
    this.deleteKeysMax = deleteKeysMax
    this.records = records
    this.leases = leases
    this.digest = digest
  }

  /** Which branch will be carried out is not known yet, so both are read. */
  readsOf({ compares, success, failure }: TransactionCommand): ReadSet {
    const operations = [...success, ...failure]
    const compared = new Set(compares.map(({ key }) => key))
    // A key counts once for each operation that names it: each may give its record.
    const keys = [...compared, ...operations.flatMap((operation) => ('key' in operation ? [operation.key] : []))]
    const ranges = operations.flatMap((operation) => this.rangesOf(operation))
    const bounded = { rows: keys.map(recordRow), ranges, bytesMax: this.limits.readBytesMax }
    return { rows: [...leasesOf(operations)].map(leaseRow), ranges: [], bounded }
  }

  /** Every reason to refuse the command is looked at before anything changes. */
  execute(command: TransactionCommand, revision: number, workspace: Workspace): TransactionOutcome {
    if (workspace.isExceeded) {
      this.digest.absorb(REFUSED)
      return { type: 'transaction-too-large', limitBytes: this.limits.readBytesMax }
    }
    const succeeded = command.compares.every((one) => compareHolds(one, this.records.find(one.key, workspace)))
    this.digest.absorb(succeeded ? SUCCEEDED : FAILED)
    const branch = succeeded ? command.success : command.failure
    const doomed = branch.filter(({ type }) => type === 'delete-range').flatMap((one) => this.rowsOf(one, workspace))
    const excess = doomed[this.deleteKeysMax]
    if (excess !== undefined) {
      this.records.refuseRange(excess)
      return { type: 'range-too-large', limit: this.deleteKeysMax, found: doomed.length }
    }
    const refusal = this.leases.refuseKeys(this.leasedKeys(branch, workspace), workspace)
    if (refusal !== null) return refusal
    const results = branch.map((operation) => this.operate(operation, revision, workspace))
    return { type: 'transaction', succeeded, revision: this.records.revision, results }
  }

  private operate(operation: Operation, revision: number, workspace: Workspace): OperationResult {
    const { records } = this
    switch (operation.type) {
      case 'put': {
        const { key, value, wantsPrevious } = operation
        const current = records.find(key, workspace)
        const { createRevision, version } = records.put(
          key,
          { value, lease: operation.lease ?? 0 },
          current,
          revision,
          workspace,
        )
        return { type: 'put', createRevision, version, previous: wantsPrevious ? current : null }
      }
      case 'get':
        return { type: 'get', record: records.find(operation.key, workspace) }
      case 'delete': {
        const current = records.find(operation.key, workspace)
        const deleted = records.remove(operation.key, current, revision, workspace)
        return { type: 'delete', deleted, previous: operation.wantsPrevious ? current : null }
      }
      case 'delete-range': {
        const rows = this.rowsOf(operation, workspace)
        records.removeRows(rows, revision, workspace)
        return { type: 'delete', deleted: rows.length, previous: null }
      }
      case 'list':
        return this.list(operation, workspace)
    }
  }

  private leasedKeys(branch: readonly Operation[], workspace: Workspace): readonly LeasedKey[] {
    return branch.flatMap((one) =>
      one.type === 'put' && one.lease !== undefined
        ? [{ lease: one.lease, current: this.records.find(one.key, workspace) }]
        : [],
    )
  }

  /** Nothing that the same branch has written before is in the range (`branchFaults`). */
  private list(operation: ListOperation, workspace: Workspace): OperationResult {
    const { limit, keysOnly } = operation
    const items: { key: Key; record: KeyRecord }[] = []
    let bytes = 0
    for (const row of this.rowsOf(operation, workspace)) {
      if (items.length === limit || bytes > this.limits.listBytesMax) return { type: 'list', items, more: true }
      const found = workspace.get(row)
      if (found === null) continue
      bytes += row.length + found.length
      const record = decodeRecord(found)
      items.push({ key: keyOfRow(row), record: keysOnly ? { ...record, value: NO_VALUE } : record })
    }
    return { type: 'list', items, more: false }
  }

  private rowsOf(operation: Operation, workspace: Workspace): readonly RowKey[] {
    return this.rangesOf(operation).flatMap((range) => workspace.rowsIn(range))
  }

  /** One row more than is needed shows whether there are more. */
  private rangesOf(operation: Operation): readonly RangeRead[] {
    if (operation.type === 'delete-range') {
      // All of their bytes, or the transaction is refused.
      return rangeRead(operation, this.deleteKeysMax + 1, this.limits.readBytesMax)
    }
    return operation.type === 'list' ? rangeRead(operation, operation.limit + 1, this.limits.listBytesMax) : []
  }
}

function leasesOf(operations: readonly Operation[]): ReadonlySet<number> {
  return new Set(operations.flatMap((one) => (one.type === 'put' && one.lease !== undefined ? [one.lease] : [])))
}
