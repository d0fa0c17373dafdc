import { assert } from '../lib/assert.ts'
import type { Command, Condition, DeleteCommand, DeleteRangeCommand, IdempotencyTag, PutCommand } from './command.ts'
import { Digest } from './digest.ts'
import type { RowKey } from './key.ts'
import {
  bulkOf,
  decodeIdempotentWrite,
  decodeIdempotentWriteName,
  encodeIdempotentWrite,
  encodeIdempotentWriteName,
  withBulk,
  type FirstResult,
  type IdempotentWrite,
} from './idempotent-write.ts'
import type { MachineState } from './machine-state.ts'
import type { KeyRecord } from './record.ts'
import { Records, rangeRead } from './records.ts'
import type { CommandResult } from './result.ts'
import { KeptValues, type KeptValuesOptions } from './kept-values.ts'
import { keyOfRow, idempotentWriteOrderRow, idempotentWriteRow, recordRow } from './row.ts'
import { Transactions, type TransactionLimits } from './transactions.ts'
import type { RangeRead, ReadSet, Workspace } from './workspace.ts'

export interface KvMachineOptions {
  /** How many idempotent writes have their first answer remembered; at least 1, the same on every node and for the life of the state. */
  readonly idempotentWritesMax: number
  readonly keptValues: KeptValuesOptions
  /**
   * How many keys one entry may remove as a range; at least 1. Results depend on it: the same on every node, changed only with the format.
   */
  readonly rangeDeleteKeysMax: number
  readonly transaction: TransactionLimits
}

/** What became of a named write, as the digest records it, beside the numbers of records.ts and transactions.ts. */
const ANSWERED_BEFORE = 7
const KEY_REUSED = 8

const NO_RANGES: readonly RangeRead[] = []

/** Whether what `command` reads depends on what it finds, so that nothing else may be in its batch. */
export function runsAlone({ type }: Command): boolean {
  return type === 'delete-range' || type === 'transaction'
}

/**
 * The replicated state machine: executes committed commands, one at a time, in the order of the log. Deterministic: the same commands with
 * the same revisions on the same rows give the same rows, results and state everywhere.
 *
 * The caller takes a batch of commands, asks for their read sets, loads the union, and then executes the commands over one workspace.
 * Nothing else executes between that question and the last command of the batch. The caller may stop early, and ask anew for the rest.
 */
export class KvMachine {
  private readonly idempotentWritesMax: number
  private readonly rangeDeleteKeysMax: number
  private readonly keptValues: KeptValues
  private readonly digest: Digest
  private readonly records: Records
  private readonly transactions: Transactions
  private idempotentFirst: number
  private idempotentNext: number

  /** `restored`: what `state()` returned when the rows were as they are now; null for an empty store. */
  constructor(options: KvMachineOptions, restored: MachineState | null) {
    assert(options.idempotentWritesMax >= 1, 'at least one idempotent write is remembered')
    assert(options.rangeDeleteKeysMax >= 1, 'a range delete may remove at least one key')
    this.idempotentWritesMax = options.idempotentWritesMax
    this.rangeDeleteKeysMax = options.rangeDeleteKeysMax
    this.keptValues = new KeptValues(options.keptValues, restored?.keptValues ?? null)
    this.digest = new Digest(restored?.digest ?? 0)
    this.records = new Records(this.digest, restored?.revision ?? 0)
    const { transaction, rangeDeleteKeysMax } = options
    this.transactions = new Transactions(transaction, rangeDeleteKeysMax, this.records, this.digest)
    this.idempotentFirst = restored?.idempotentFirst ?? 0
    this.idempotentNext = restored?.idempotentNext ?? 0
    assert(
      this.idempotentNext - this.idempotentFirst <= this.idempotentWritesMax,
      'the maximum of idempotent writes has not been lowered',
    )
  }

  state(): MachineState {
    return {
      revision: this.records.revision,
      digest: this.digest.value,
      idempotentFirst: this.idempotentFirst,
      idempotentNext: this.idempotentNext,
      keptValues: this.keptValues.state(),
    }
  }

  /**
   * What must be loaded before each of `commands` executes, one after the other and with nothing in between. The rows that a command looks
   * at are in its own read set or in that of an earlier command.
   *
   * An idempotent write may push out the oldest one. Which one that is depends on how many of the keyed commands before it turn out to be
   * retries, because a retry pushes nothing out. If none is a retry, it is the row named here. If some are, it is an older row, which an
   * earlier keyed command of the batch has named. So the union over the batch holds the right row in every case.
   */
  readsOf(commands: readonly Command[]): readonly ReadSet[] {
    let keyed = 0
    let keeping = 0
    return commands.map((command) => {
      const reads = this.readsOfUnnamed(command)
      const tag = command.idempotency
      if (tag === null) return reads
      const rows = [...reads.rows, ...this.keyedRows(tag, keyed)]
      keyed += 1
      if (!mayKeep(command)) return { ...reads, rows }
      rows.push(...this.keptValues.readsOf(tag.key, keeping))
      keeping += 1
      return { ...reads, rows }
    })
  }

  private readsOfUnnamed(command: Command): ReadSet {
    switch (command.type) {
      case 'put':
      case 'delete':
        return { rows: [recordRow(command.key)], ranges: NO_RANGES, bounded: null }
      case 'delete-range':
        return { rows: [], ranges: this.rangesOf(command), bounded: null }
      case 'transaction':
        return this.transactions.readsOf(command)
    }
  }

  private keyedRows(tag: IdempotencyTag, keyedBefore: number): RowKey[] {
    const rows = [idempotentWriteRow(tag.key)]
    const pushedOut = this.idempotentNext + keyedBefore - this.idempotentWritesMax
    if (pushedOut >= this.idempotentFirst) rows.push(idempotentWriteOrderRow(pushedOut))
    return rows
  }

  /** `revision`: the index of the command's log entry, above that of every command before it. */
  execute(command: Command, revision: number, workspace: Workspace): CommandResult {
    assert(Number.isSafeInteger(revision) && revision > this.records.revision, 'revisions of commands ascend')
    this.digest.absorbInteger(revision)
    return command.idempotency === null
      ? this.executeOnce(command, revision, workspace)
      : this.executeKeyed(command, command.idempotency, revision, workspace)
  }

  private executeOnce(command: Command, revision: number, workspace: Workspace): FirstResult {
    switch (command.type) {
      case 'put':
        return this.put(command, revision, workspace)
      case 'delete':
        return this.delete(command, revision, workspace)
      case 'delete-range':
        return this.deleteRange(command, revision, workspace)
      case 'transaction':
        return this.transactions.execute(command, revision, workspace)
    }
  }

  /** A refused condition is an answer too: its retry is refused as well, even if the condition would hold by then. */
  private executeKeyed(command: Command, tag: IdempotencyTag, revision: number, workspace: Workspace): CommandResult {
    const row = idempotentWriteRow(tag.key)
    const bytes = workspace.get(row)
    this.digest.absorbText(tag.key)
    if (bytes !== null) {
      const first = decodeIdempotentWrite(bytes)
      const isRetry = first.fingerprint === tag.fingerprint
      this.digest.absorb(isRetry ? ANSWERED_BEFORE : KEY_REUSED)
      return isRetry ? this.firstAnswer(tag.key, first, workspace) : { type: 'key-reused' }
    }
    const result = this.executeOnce(command, revision, workspace)
    if (this.idempotentNext - this.idempotentFirst === this.idempotentWritesMax) this.forgetOldest(workspace)
    const bulk = bulkOf(result)
    const valueApart = bulk !== null && this.keptValues.isApart(bulk)
    if (valueApart) this.keptValues.keep(tag.key, bulk, workspace)
    workspace.put(row, encodeIdempotentWrite({ fingerprint: tag.fingerprint, result, valueApart }))
    workspace.put(idempotentWriteOrderRow(this.idempotentNext), encodeIdempotentWriteName(tag.key))
    this.idempotentNext += 1
    return result
  }

  private firstAnswer(name: string, { result, valueApart }: IdempotentWrite, workspace: Workspace): FirstResult {
    return valueApart ? withBulk(result, this.keptValues.find(name, workspace)) : result
  }

  private forgetOldest(workspace: Workspace): void {
    const order = idempotentWriteOrderRow(this.idempotentFirst)
    workspace.remove(idempotentWriteRow(decodeIdempotentWriteName(workspace.get(order))))
    workspace.remove(order)
    this.idempotentFirst += 1
  }

  private put(command: PutCommand, revision: number, workspace: Workspace): FirstResult {
    const { key, value, wantsPrevious } = command
    const current = this.records.find(key, workspace)
    if (!holds(command.condition, current)) return this.refuse(command, current)
    const { createRevision, version } = this.records.put(key, value, current, revision, workspace)
    return { type: 'put', revision, createRevision, version, previous: wantsPrevious ? current : null }
  }

  private delete(command: DeleteCommand, revision: number, workspace: Workspace): FirstResult {
    const { key, wantsPrevious } = command
    const current = this.records.find(key, workspace)
    if (!holds(command.condition, current)) return this.refuse(command, current)
    const deleted = this.records.remove(key, current, revision, workspace)
    return { type: 'deleted', revision: this.records.revision, deleted, previous: wantsPrevious ? current : null }
  }

  /**
   * All rows change together, with one revision. The bound holds for every entry, whoever proposed it: an entry that removed any number of
   * keys would stop all replicas for as long as that takes, and again after each restart.
   */
  private deleteRange(command: DeleteRangeCommand, revision: number, workspace: Workspace): FirstResult {
    const limit = this.rangeDeleteKeysMax
    const rows = this.rangesOf(command).flatMap((range) => workspace.rowsIn(range))
    const next = rows[limit]
    if (next !== undefined && !command.upToLimit) {
      this.records.refuseRange(next)
      return { type: 'range-too-large', limit, found: rows.length }
    }
    const removed = rows.slice(0, limit)
    this.records.removeRows(removed, revision, workspace)
    const outcome = { revision: this.records.revision, deleted: removed.length }
    if (!command.upToLimit) return { type: 'deleted', ...outcome, previous: null }
    return { type: 'range-deleted', ...outcome, next: next === undefined ? null : keyOfRow(next) }
  }

  /** One row more than may be removed shows whether any would be left. */
  private rangesOf(command: DeleteRangeCommand): readonly RangeRead[] {
    return rangeRead(command, this.rangeDeleteKeysMax + 1)
  }

  private refuse({ key }: PutCommand | DeleteCommand, current: KeyRecord | null): FirstResult {
    this.records.refuse(key, current)
    return { type: 'condition-failed', currentRevision: current === null ? null : current.modRevision }
  }
}

/** Whether the answer to `command` may hold something so large that it is kept apart. */
function mayKeep(command: Command): boolean {
  switch (command.type) {
    case 'put':
    case 'delete':
      return command.wantsPrevious
    case 'delete-range':
      return false
    case 'transaction':
      return true
  }
}

function holds(condition: Condition | null, current: KeyRecord | null): boolean {
  if (condition === null) return true
  switch (condition.type) {
    case 'absent':
      return current === null
    case 'present':
      return current !== null
    case 'mod-revision':
      return current !== null && current.modRevision === condition.revision
  }
}
