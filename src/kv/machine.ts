import { assert } from '../lib/assert.ts'
import type { Command, Condition, DeleteCommand, DeleteRangeCommand, IdempotencyTag, PutCommand } from './command.ts'
import { Digest } from './digest.ts'
import type { RowKey } from './key.ts'
import type { FirstResult } from './keyed-write.ts'
import { decodeKeyedWrite, decodeKeyedWriteName, encodeKeyedWrite, encodeKeyedWriteName } from './keyed-write.ts'
import type { MachineState } from './machine-state.ts'
import type { KeyRecord } from './record.ts'
import { decodeRecord, encodeRecord } from './record.ts'
import type { CommandResult } from './result.ts'
import type { RowRange } from './row.ts'
import { keyedWriteOrderRow, keyedWriteRow, recordRange, recordRow } from './row.ts'

/** The rows a command may look at, which the caller loads before it executes. */
export interface ReadSet {
  readonly rows: readonly RowKey[]
  /** Ranges of rows, none of them empty. Rare: each costs a scan. */
  readonly ranges: readonly RowRange[]
}

/** The store as one command sees it: what was loaded, under the writes of the commands before it. */
export interface Workspace {
  /** The row's bytes; null when absent. The row is in the read set of this command or of one before it in the batch. */
  get(row: RowKey): Uint8Array | null
  /** The machine gives `bytes` away and does not change them. */
  put(row: RowKey, bytes: Uint8Array): void
  remove(row: RowKey): void
  /** The rows present in a range of the read set, ascending. The answer does not change when rows of it are removed later. */
  rowsIn(start: RowKey, end: RowKey | null): readonly RowKey[]
}

export interface KvMachineOptions {
  /** Keyed writes whose first answer is remembered; at least 1, the same on every node and for the life of the state. */
  readonly keyedWritesMax: number
}

/** What a command did, in the digest. A number once used never means anything else. */
const CREATED = 1
const REPLACED = 2
const DELETED = 3
const WAS_ABSENT = 4
const RANGE_DELETED = 5
const CONDITION_FAILED = 6
const ANSWERED_BEFORE = 7
const KEY_REUSED = 8

const NO_RANGES: readonly RowRange[] = []

/**
 * The replicated state machine: executes committed commands, one at a time, in the order of the log.
 * Deterministic: the same commands with the same revisions on the same rows give the same rows, results and state everywhere.
 *
 * The caller takes a batch of commands, asks for the read set of each, loads the union, then executes all of them
 * over one workspace. Nothing else executes between the first question and the last command of the batch.
 */
export class KvMachine {
  private readonly keyedWritesMax: number
  private readonly digest: Digest
  private revision: number
  private keyedFirst: number
  private keyedNext: number

  /** `restored`: what `state()` gave when the rows were as they are now; null for an empty store. */
  constructor(options: KvMachineOptions, restored: MachineState | null) {
    assert(options.keyedWritesMax >= 1, 'at least one keyed write is remembered')
    this.keyedWritesMax = options.keyedWritesMax
    this.digest = new Digest(restored?.digest ?? 0)
    this.revision = restored?.revision ?? 0
    this.keyedFirst = restored?.keyedFirst ?? 0
    this.keyedNext = restored?.keyedNext ?? 0
    assert(this.keyedNext - this.keyedFirst <= this.keyedWritesMax, 'the maximum of keyed writes has not been lowered')
  }

  state(): MachineState {
    return {
      revision: this.revision,
      digest: this.digest.value,
      keyedFirst: this.keyedFirst,
      keyedNext: this.keyedNext,
    }
  }

  /**
   * What must be loaded before `command` executes. `keyedBefore`: how many commands with an idempotency tag come before it
   * in the same batch.
   *
   * A keyed write may push the oldest one out, and which that is depends on how many of the keyed commands before it turn
   * out to be retries, which push out nothing. If none is, it is the row named here; if some are, it is an older one, which
   * a keyed command before it in the batch has named. So the union over the batch holds the right row in every case.
   */
  readsOf(command: Command, keyedBefore: number): ReadSet {
    const tag = command.idempotency
    if (command.type === 'delete-range') {
      return { rows: tag === null ? [] : this.keyedRows(tag, keyedBefore), ranges: rangesOf(command) }
    }
    const row = recordRow(command.key)
    return { rows: tag === null ? [row] : [row, ...this.keyedRows(tag, keyedBefore)], ranges: NO_RANGES }
  }

  private keyedRows(tag: IdempotencyTag, keyedBefore: number): RowKey[] {
    const rows = [keyedWriteRow(tag.key)]
    const pushedOut = this.keyedNext + keyedBefore - this.keyedWritesMax
    if (pushedOut >= this.keyedFirst) rows.push(keyedWriteOrderRow(pushedOut))
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

  /** A refused condition is an answer too: a retry is refused likewise, even if the condition would hold by then. */
  private executeKeyed(command: Command, tag: IdempotencyTag, revision: number, workspace: Workspace): CommandResult {
    const row = keyedWriteRow(tag.key)
    const bytes = workspace.get(row)
    this.digest.absorbText(tag.key)
    if (bytes !== null) {
      const first = decodeKeyedWrite(bytes)
      const isRetry = first.fingerprint === tag.fingerprint
      this.digest.absorb(isRetry ? ANSWERED_BEFORE : KEY_REUSED)
      return isRetry ? first.result : { type: 'key-reused' }
    }
    const result = this.executeOnce(command, revision, workspace)
    if (this.keyedNext - this.keyedFirst === this.keyedWritesMax) this.forgetOldest(workspace)
    workspace.put(row, encodeKeyedWrite({ fingerprint: tag.fingerprint, result }))
    workspace.put(keyedWriteOrderRow(this.keyedNext), encodeKeyedWriteName(tag.key))
    this.keyedNext += 1
    return result
  }

  private forgetOldest(workspace: Workspace): void {
    const order = keyedWriteOrderRow(this.keyedFirst)
    workspace.remove(keyedWriteRow(decodeKeyedWriteName(workspace.get(order))))
    workspace.remove(order)
    this.keyedFirst += 1
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

  /** All rows go in one change, with one revision. */
  private deleteRange(command: DeleteRangeCommand, revision: number, workspace: Workspace): FirstResult {
    let deleted = 0
    for (const { start, end } of rangesOf(command)) {
      for (const row of workspace.rowsIn(start, end)) {
        workspace.remove(row)
        this.digest.absorbText(row)
        deleted += 1
      }
    }
    if (deleted > 0) this.revision = revision
    this.digest.absorb(RANGE_DELETED)
    this.digest.absorbInteger(deleted)
    return { type: 'deleted', revision: this.revision, deleted, previous: null }
  }

  private refuse(row: RowKey, current: KeyRecord | null): FirstResult {
    this.absorbOutcome(CONDITION_FAILED, row, current)
    return { type: 'condition-failed', currentRevision: current === null ? null : current.modRevision }
  }

  /** Commands that change nothing count as well: what a replica saw when it refused shows whether its rows are right. */
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

/** None when the bounds leave no key between them. */
function rangesOf(command: DeleteRangeCommand): readonly RowRange[] {
  const range = recordRange(command.start, command.end)
  return range.end !== null && range.start >= range.end ? NO_RANGES : [range]
}
