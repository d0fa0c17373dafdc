import type {
  Command,
  CommandResult,
  Condition,
  Key,
  KeyRecord,
  KvMachineOptions,
  TransactionCommand,
} from '../../../src/kv/index.ts'
import { holdsOf, keysWithin, performOperation, readsTooMuch, resultsBytes } from './transaction-model.ts'

type FirstResult = { readonly fingerprint: number; readonly result: CommandResult; readonly valueApart: boolean }
type PreviousResult = Extract<CommandResult, { type: 'put' | 'deleted' }>

interface Change {
  readonly revision: number
  readonly record: KeyRecord | null
}

/**
 * The rules of the store, written down a second time, plainly: the oracle of the machine's own tests and of the simulator. It
 * executes commands in order and remembers every version of every key, so that any answer can be checked against the revision that
 * it claims to reflect.
 */
export class ReferenceModel {
  readonly resultsByIndex = new Map<number, CommandResult>()
  /** For each idempotency key, the indexes at which a command was executed under it for the first time. */
  readonly executions = new Map<string, number[]>()
  revision = 0
  private level = 0
  private readonly revisions: number[] = []
  private readonly options: KvMachineOptions
  private readonly current = new Map<Key, KeyRecord>()
  private readonly changes = new Map<Key, Change[]>()
  private readonly keyed = new Map<string, FirstResult>()
  /** Large previous values of named writes. For each size class: the names of the latest such writes, oldest first. */
  private readonly values = new Set<string>()
  private readonly kept: string[][]

  constructor(options: KvMachineOptions) {
    this.options = options
    this.kept = options.keptValues.rings.map(() => [])
  }

  execute(command: Command, index: number): CommandResult {
    const result = this.resultOf(command, index)
    this.resultsByIndex.set(index, result)
    return result
  }

  /** The record of `key` after every change up to `revision`. */
  recordAt(key: Key, revision: number): KeyRecord | null {
    const changes = this.changes.get(key) ?? []
    for (let at = changes.length - 1; at >= 0; at--) {
      const change = changes[at]
      if (change !== undefined && change.revision <= revision) return change.record
    }
    return null
  }

  /** The records of now by key. */
  records(): ReadonlyMap<Key, KeyRecord> {
    return this.current
  }

  /** The idempotency keys whose first answer is remembered, oldest first. */
  rememberedKeys(): string[] {
    return [...this.keyed.keys()]
  }

  /** The revision after the command at `index`. */
  revisionAt(index: number): number {
    return this.revisions.findLast((revision) => revision <= index) ?? 0
  }

  keysAt(start: Key | null, end: Key | null, revision: number): Key[] {
    return [...this.changes.keys()]
      .filter((key) => (start === null || key >= start) && (end === null || key < end))
      .filter((key) => this.recordAt(key, revision) !== null)
      .sort((a, b) => (a < b ? -1 : 1))
  }

  private resultOf(command: Command, index: number): CommandResult {
    const tag = command.idempotency
    if (tag === null) return this.perform(command, index)
    const first = this.keyed.get(tag.key)
    if (first !== undefined) {
      return first.fingerprint === tag.fingerprint ? this.again(tag.key, first) : { type: 'key-reused' }
    }
    const result = this.perform(command, index)
    this.executions.set(tag.key, [...(this.executions.get(tag.key) ?? []), index])
    this.keyed.set(tag.key, { fingerprint: tag.fingerprint, result, valueApart: this.keepValue(tag.key, result) })
    if (this.keyed.size > this.options.idempotentWritesMax) {
      for (const oldest of this.keyed.keys()) {
        this.keyed.delete(oldest)
        break
      }
    }
    return result
  }

  /** Whether the previous value is kept separately from its answer, and therefore only for some time. */
  private keepValue(name: string, result: CommandResult): boolean {
    const value = result.type === 'put' || result.type === 'deleted' ? result.previous?.value : undefined
    const bytes = result.type === 'transaction' ? resultsBytes(result.results) : value?.length
    const { inlineBytesMax, rings } = this.options.keptValues
    if (bytes === undefined || bytes <= inlineBytesMax) return false
    const at = rings.findIndex(({ valueBytesMax }) => valueBytesMax >= bytes)
    const names = this.kept[at]
    if (names === undefined) return true
    const oldest = names.length === rings[at]?.slots ? names.shift() : undefined
    if (oldest !== undefined) this.values.delete(oldest)
    names.push(name)
    this.values.add(name)
    return true
  }

  private again(name: string, { result, valueApart }: FirstResult): CommandResult {
    if (!valueApart) return result
    if (this.values.has(name)) return result
    if (result.type === 'transaction') return { ...result, results: [], resultsForgotten: true }
    const first = result as PreviousResult
    if (first.previous === null) return first
    return { ...first, previous: { ...first.previous, value: new Uint8Array(0) }, previousValueForgotten: true }
  }

  private perform(command: Command, index: number): CommandResult {
    if (command.type === 'delete-range') {
      const keys = [...this.current.keys()].filter(
        (key) => (command.start === null || key >= command.start) && (command.end === null || key < command.end),
      )
      const limit = this.options.rangeDeleteKeysMax
      if (!command.upToLimit && keys.length > limit) return { type: 'range-too-large', limit, found: limit + 1 }
      const [gone, left] = [keys.sort().slice(0, limit), keys.slice(limit)]
      for (const key of gone) this.change(key, null, index)
      const { revision } = this
      return command.upToLimit
        ? { type: 'range-deleted', revision, deleted: gone.length, next: left[0] ?? null }
        : { type: 'deleted', revision, deleted: gone.length, previous: null }
    }
    if (command.type === 'transaction') return this.transact(command, index)
    if (command.type === 'raise-level') {
      this.level = Math.max(this.level, command.level)
      return { type: 'level-raised', level: this.level }
    }
    if (command.type !== 'put' && command.type !== 'delete') throw new Error(`the model does not know ${command.type}`)
    const before = this.current.get(command.key) ?? null
    if (!allows(command.condition, before)) {
      return { type: 'condition-failed', currentRevision: before?.modRevision ?? null }
    }
    const previous = command.wantsPrevious ? before : null
    if (command.type === 'delete') {
      if (before !== null) this.change(command.key, null, index)
      return { type: 'deleted', revision: this.revision, deleted: before === null ? 0 : 1, previous }
    }
    const createRevision = before?.createRevision ?? index
    const version = (before?.version ?? 0) + 1
    const record = { createRevision, modRevision: index, version, lease: 0, value: command.value }
    this.change(command.key, record, index)
    return { type: 'put', revision: index, createRevision, version, previous }
  }

  private transact(command: TransactionCommand, index: number): CommandResult {
    const store = {
      current: this.current,
      change: (key: Key, record: KeyRecord | null) => this.change(key, record, index),
    }
    const { rangeDeleteKeysMax: limit, transaction } = this.options
    if (readsTooMuch(command, store, this.options, this.level > 0))
      return { type: 'transaction-too-large', limitBytes: transaction.readBytesMax }
    const succeeded = command.compares.every((one) => holdsOf(one, this.current.get(one.key) ?? null) === true)
    const branch = succeeded ? command.success : command.failure
    // Each range is counted up to one more than the limit of all of them together.
    const doomed = branch.map((one) =>
      one.type === 'delete-range' ? Math.min(keysWithin(one, store).length, limit + 1) : 0,
    )
    const found = doomed.reduce((sum, count) => sum + count, 0)
    if (found > limit) return { type: 'range-too-large', limit, found }
    const results = branch.map((operation) => performOperation(operation, index, store, this.options))
    return { type: 'transaction', succeeded, revision: this.revision, results }
  }

  private change(key: Key, record: KeyRecord | null, revision: number): void {
    if (record === null) this.current.delete(key)
    else this.current.set(key, record)
    const changes = this.changes.get(key)
    if (changes === undefined) this.changes.set(key, [{ revision, record }])
    else changes.push({ revision, record })
    if (revision > this.revision) this.revisions.push(revision)
    this.revision = revision
  }
}

function allows(condition: Condition | null, record: KeyRecord | null): boolean {
  switch (condition?.type) {
    case undefined:
      return true
    case 'absent':
      return record === null
    case 'present':
      return record !== null
    case 'mod-revision':
      return record?.modRevision === condition.revision
  }
}
