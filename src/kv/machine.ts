import { assert } from '../lib/assert.ts'
import type { Command, Condition, DeleteCommand, DeleteRangeCommand, IdempotencyTag, PutCommand } from './command.ts'
import { Digest } from './digest.ts'
import type { RowKey } from './key.ts'
import type { FirstResult, IdempotentWrite } from './idempotent-write.ts'
import {
  decodeIdempotentWrite,
  decodeIdempotentWriteName,
  encodeIdempotentWrite,
  encodeIdempotentWriteName,
} from './idempotent-write.ts'
import type { MachineState } from './machine-state.ts'
import type { KeyRecord } from './record.ts'
import { decodeRecord, encodeRecord } from './record.ts'
import type { CommandResult } from './result.ts'
import { KeptValues, type KeptValuesOptions } from './kept-values.ts'
import { keyOfRow, idempotentWriteOrderRow, idempotentWriteRow, recordRange, recordRow } from './row.ts'
import type { RangeRead, ReadSet, Workspace } from './workspace.ts'

export interface KvMachineOptions {
  /** How many idempotent writes have their first answer remembered; at least 1, the same on every node and for the life of the state. */
  readonly idempotentWritesMax: number
  readonly keptValues: KeptValuesOptions
  /**
   * How many keys one entry may remove as a range; at least 1. Results depend on it: the same on every node, changed only with the format.
   */
  readonly rangeDeleteKeysMax: number
}

/** What a command did, as the digest records it. A number once used never means anything else. */
const CREATED = 1
const REPLACED = 2
const DELETED = 3
const WAS_ABSENT = 4
const RANGE_DELETED = 5
const CONDITION_FAILED = 6
const ANSWERED_BEFORE = 7
const KEY_REUSED = 8
const RANGE_REFUSED = 9

const NO_RANGES: readonly RangeRead[] = []

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
  private revision: number
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
    this.revision = restored?.revision ?? 0
    this.idempotentFirst = restored?.idempotentFirst ?? 0
    this.idempotentNext = restored?.idempotentNext ?? 0
    assert(
      this.idempotentNext - this.idempotentFirst <= this.idempotentWritesMax,
      'the maximum of idempotent writes has not been lowered',
    )
  }

  state(): MachineState {
    return {
      revision: this.revision,
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
      const rows: RowKey[] = command.type === 'delete-range' ? [] : [recordRow(command.key)]
      const ranges = command.type === 'delete-range' ? this.rangesOf(command) : NO_RANGES
      const tag = command.idempotency
      if (tag === null) return { rows, ranges }
      rows.push(...this.keyedRows(tag, keyed))
      keyed += 1
      if (command.type === 'delete-range' || !command.wantsPrevious) return { rows, ranges }
      rows.push(...this.keptValues.readsOf(tag.key, keeping))
      keeping += 1
      return { rows, ranges }
    })
  }

  private keyedRows(tag: IdempotencyTag, keyedBefore: number): RowKey[] {
    const rows = [idempotentWriteRow(tag.key)]
    const pushedOut = this.idempotentNext + keyedBefore - this.idempotentWritesMax
    if (pushedOut >= this.idempotentFirst) rows.push(idempotentWriteOrderRow(pushedOut))
    return rows
  }

  /** `revision`: the index of the command's log entry, above that of every command before it. */
  execute(command: Command, revision: number, workspace: Workspace): CommandResult {
    assert(Number.isSafeInteger(revision) && revision > this.revision, 'revisions of commands ascend')
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
    const previous = result.type === 'put' || result.type === 'deleted' ? result.previous : null
    const valueApart = previous !== null && this.keptValues.isApart(previous.value)
    if (valueApart) this.keptValues.keep(tag.key, previous.value, workspace)
    workspace.put(row, encodeIdempotentWrite({ fingerprint: tag.fingerprint, result, valueApart }))
    workspace.put(idempotentWriteOrderRow(this.idempotentNext), encodeIdempotentWriteName(tag.key))
    this.idempotentNext += 1
    return result
  }

  private firstAnswer(name: string, { result, valueApart }: IdempotentWrite, workspace: Workspace): FirstResult {
    if (!valueApart || (result.type !== 'put' && result.type !== 'deleted') || result.previous === null) return result
    const value = this.keptValues.find(name, workspace)
    if (value === null) return { ...result, previousValueForgotten: true }
    return { ...result, previous: { ...result.previous, value } }
  }

  private forgetOldest(workspace: Workspace): void {
    const order = idempotentWriteOrderRow(this.idempotentFirst)
    workspace.remove(idempotentWriteRow(decodeIdempotentWriteName(workspace.get(order))))
    workspace.remove(order)
    this.idempotentFirst += 1
  }

  private put(command: PutCommand, revision: number, workspace: Workspace): FirstResult {
    const row = recordRow(command.key)
    const current = recordIn(workspace, row)
    if (!holds(command.condition, current)) return this.refuse(row, current)
    const createRevision = current === null ? revision : current.createRevision
    const version = current === null ? 1 : current.version + 1
    const { value } = command
    workspace.put(row, encodeRecord({ createRevision, modRevision: revision, version, lease: 0, value }))
    this.revision = revision
    this.absorbOutcome(current === null ? CREATED : REPLACED, row, current)
    this.digest.absorbEnds(value)
    return { type: 'put', revision, createRevision, version, previous: command.wantsPrevious ? current : null }
  }

  private delete(command: DeleteCommand, revision: number, workspace: Workspace): FirstResult {
    const row = recordRow(command.key)
    const current = recordIn(workspace, row)
    if (!holds(command.condition, current)) return this.refuse(row, current)
    this.absorbOutcome(current === null ? WAS_ABSENT : DELETED, row, current)
    if (current === null) return { type: 'deleted', revision: this.revision, deleted: 0, previous: null }
    workspace.remove(row)
    this.revision = revision
    return { type: 'deleted', revision, deleted: 1, previous: command.wantsPrevious ? current : null }
  }

  /**
   * All rows change together, with one revision. The bound holds for every entry, whoever proposed it: an entry that removed any number of
   * keys would stop all replicas for as long as that takes, and again after each restart.
   */
  private deleteRange(command: DeleteRangeCommand, revision: number, workspace: Workspace): FirstResult {
    const limit = this.rangeDeleteKeysMax
    const rows = this.rangesOf(command).flatMap(({ start, end }) => workspace.rowsIn(start, end))
    const next = rows[limit]
    if (next !== undefined && !command.upToLimit) return this.refuseRange(next, rows.length)
    const removed = rows.slice(0, limit)
    for (const row of removed) {
      workspace.remove(row)
      this.digest.absorbText(row)
    }
    const deleted = removed.length
    if (deleted > 0) this.revision = revision
    this.digest.absorb(RANGE_DELETED)
    this.digest.absorbInteger(deleted)
    if (!command.upToLimit) return { type: 'deleted', revision: this.revision, deleted, previous: null }
    return { type: 'range-deleted', revision: this.revision, deleted, next: next === undefined ? null : keyOfRow(next) }
  }

  /** `excess`: the first row beyond the limit. */
  private refuseRange(excess: RowKey, found: number): FirstResult {
    this.digest.absorb(RANGE_REFUSED)
    this.digest.absorbText(excess)
    return { type: 'range-too-large', limit: this.rangeDeleteKeysMax, found }
  }

  /** No range when the bounds leave no key between them. One row more than may be removed shows whether any would be left. */
  private rangesOf(command: DeleteRangeCommand): readonly RangeRead[] {
    const range = recordRange(command.start, command.end)
    if (range.end !== null && range.start >= range.end) return NO_RANGES
    return [{ ...range, limit: this.rangeDeleteKeysMax + 1 }]
  }

  private refuse(row: RowKey, current: KeyRecord | null): FirstResult {
    this.absorbOutcome(CONDITION_FAILED, row, current)
    return { type: 'condition-failed', currentRevision: current === null ? null : current.modRevision }
  }

  /** Commands that change nothing are absorbed as well: what a replica saw when it refused one shows whether its rows are right. */
  private absorbOutcome(outcome: number, row: RowKey, previous: KeyRecord | null): void {
    this.digest.absorb(outcome)
    this.digest.absorbText(row)
    if (previous === null) return
    this.digest.absorbInteger(previous.modRevision)
    this.digest.absorb(previous.version)
    this.digest.absorb(previous.value.length)
  }
}

function recordIn(workspace: Workspace, row: RowKey): KeyRecord | null {
  const bytes = workspace.get(row)
  return bytes === null ? null : decodeRecord(bytes)
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
