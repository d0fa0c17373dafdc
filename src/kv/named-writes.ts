import { assert } from '../lib/assert.ts'
import type { Command, IdempotencyTag } from './command.ts'
import type { Digest } from './digest.ts'
import { canHaveHad } from './first-answer.ts'
import {
  bulkOf,
  decodeIdempotentWrite,
  encodeIdempotentWrite,
  withBulk,
  type FirstResult,
  type IdempotentWrite,
} from './idempotent-write.ts'
import { KeptValues, type KeptValuesOptions } from './kept-values.ts'
import type { RowKey } from './key.ts'
import type { MachineState } from './machine-state.ts'
import { decodeOrderedName, encodeOrderedName } from './ordered-name.ts'
import type { CommandResult } from './result.ts'
import { idempotentWriteOrderRow, idempotentWriteRow } from './row.ts'
import type { Workspace } from './workspace.ts'

export interface NamedWritesOptions {
  /** How many idempotent writes have their first answer remembered; at least 1, the same on every node and for the life of the state. */
  readonly idempotentWritesMax: number
  readonly keptValues: KeptValuesOptions
}

export type NamedWritesState = Pick<MachineState, 'idempotentFirst' | 'idempotentNext' | 'keptValues'>

/** What became of a named write, as the digest records it. A number once used never means anything else. */
const ANSWERED_BEFORE = 7
const KEY_REUSED = 8

/** How many earlier writes of the batch have a name, and how many of those may keep something large. */
export interface NamedBefore {
  readonly named: number
  readonly keeping: number
}

/** The writes that their clients named: each takes effect once, and its retries get the first answer. */
export class NamedWrites {
  private readonly idempotentWritesMax: number
  private readonly keptValues: KeptValues
  private readonly digest: Digest
  private first: number
  private next: number

  constructor(options: NamedWritesOptions, digest: Digest, restored: NamedWritesState | null) {
    assert(options.idempotentWritesMax >= 1, 'at least one idempotent write is remembered')
    this.idempotentWritesMax = options.idempotentWritesMax
    this.keptValues = new KeptValues(options.keptValues, restored?.keptValues ?? null)
    this.digest = digest
    this.first = restored?.idempotentFirst ?? 0
    this.next = restored?.idempotentNext ?? 0
    assert(this.next - this.first <= this.idempotentWritesMax, 'the maximum of idempotent writes has not been lowered')
  }

  state(): NamedWritesState {
    return { idempotentFirst: this.first, idempotentNext: this.next, keptValues: this.keptValues.state() }
  }

  /**
   * The rows that a named write looks at because of its name.
   *
   * It may push out the oldest one. Which one that is depends on how many of the named commands before it turn out to be retries, because a
   * retry pushes nothing out. If none is a retry, it is the row named here. If some are, it is an older row, which an earlier named command
   * of the batch has named. So the union over the batch holds the right row in every case.
   */
  readsOf(command: Command, { key }: IdempotencyTag, before: NamedBefore): RowKey[] {
    const rows = [idempotentWriteRow(key)]
    const pushedOut = this.next + before.named - this.idempotentWritesMax
    if (pushedOut >= this.first) rows.push(idempotentWriteOrderRow(pushedOut))
    if (mayKeep(command)) rows.push(...this.keptValues.readsOf(key, before.keeping))
    return rows
  }

  /**
   * The first answer to the write named by `tag`, or what `execute` returns if there is none yet. A refusal is an answer too: its retry is
   * refused as well, even if the write would be carried out by then. Whoever was refused can rely on it, also when an earlier attempt of
   * theirs is still on its way.
   *
   * The answer to a renewal is about the present, so its retry is carried out again, which does no harm.
   */
  once(command: Command, tag: IdempotencyTag, workspace: Workspace, execute: () => FirstResult): CommandResult {
    const row = idempotentWriteRow(tag.key)
    const bytes = workspace.get(row)
    this.digest.absorbText(tag.key)
    if (bytes !== null) {
      const first = this.firstAnswer(command, tag, decodeIdempotentWrite(bytes), workspace)
      this.digest.absorb(first === null ? KEY_REUSED : ANSWERED_BEFORE)
      if (first === null) return { type: 'key-reused' }
      return command.type === 'lease-renew' ? execute() : first
    }
    const result = execute()
    if (this.next - this.first === this.idempotentWritesMax) this.forgetOldest(workspace)
    const bulk = bulkOf(result)
    const valueApart = bulk !== null && this.keptValues.isApart(bulk)
    const kept = valueApart ? this.keptValues.keep(tag.key, bulk, workspace) : null
    workspace.put(row, encodeIdempotentWrite({ fingerprint: tag.fingerprint, result, valueApart }))
    workspace.put(idempotentWriteOrderRow(this.next), encodeOrderedName({ name: tag.key, kept }))
    this.next += 1
    return result
  }

  /** What the write named by `tag` was answered; null when that was another write than `command`. */
  private firstAnswer(
    command: Command,
    { key, fingerprint }: IdempotencyTag,
    first: IdempotentWrite,
    workspace: Workspace,
  ): FirstResult | null {
    // A command that keeps nothing has not asked for the row of a value that was kept apart.
    if (first.fingerprint !== fingerprint || (first.valueApart && !mayKeep(command))) return null
    const result = first.valueApart ? withBulk(first.result, this.keptValues.find(key, workspace)) : first.result
    return canHaveHad(command, result) ? result : null
  }

  private forgetOldest(workspace: Workspace): void {
    const order = idempotentWriteOrderRow(this.first)
    const { name, kept } = decodeOrderedName(workspace.get(order))
    workspace.remove(idempotentWriteRow(name))
    if (kept !== null) this.keptValues.forget(name, kept, workspace)
    workspace.remove(order)
    this.first += 1
  }
}

/** Whether the answer to `command` may hold something so large that it is kept apart. */
export function mayKeep(command: Command): boolean {
  switch (command.type) {
    case 'put':
    case 'delete':
      return command.wantsPrevious
    case 'transaction':
      return true
    default:
      return false
  }
}
