import type {
  Command,
  CommandResult,
  Condition,
  DeleteCommand,
  DeleteRangeCommand,
  Key,
  KeyRecord,
  KvMachineOptions,
  NameableCommand,
  PutCommand,
  TransactionCommand,
} from '../../../src/kv/index.ts'
import { isAuthCommand } from '../../../src/kv/auth-codec.ts'
import { AuthModel, type ModelAuth } from './auth-model.ts'
import { HistoryModel, type KeyChange, type PastEntry, type PastState } from './history-model.ts'
import { LeaseModel, leasesAmong, type ModelLeases } from './lease-model.ts'
import { NamedWritesModel } from './named-writes-model.ts'
import { holdsOf } from '../../../src/checker/transaction-parts.ts'
import { keysWithin, performOperation, readsTooMuch, rowBytesOf, type TransactionStore } from './transaction-model.ts'

interface Change {
  readonly revision: number
  readonly record: KeyRecord | null
}

/** What the state of a machine tells beside its records. `past` null: the cluster does not know history yet. */
export interface ModelState {
  readonly revision: number
  readonly level: number
  readonly past: PastState | null
  readonly leases: ModelLeases
  /** Null: there are no roles and tokens. */
  readonly auth: ModelAuth | null
}

const AT_FIRST: ModelState = {
  revision: 0,
  level: 0,
  past: null,
  leases: { counts: { leases: 0, attachedKeys: 0, locks: 0, lockWaiters: 0 }, rows: [] },
  auth: null,
}

/**
 * The rules of the store, written down a second time, plainly: the oracle of the machine's own tests and of the simulator. It
 * executes commands in order and remembers every version of every key, so that any answer can be checked against the revision that
 * it claims to reflect.
 */
export class ReferenceModel {
  readonly resultsByIndex = new Map<number, CommandResult>()
  /** What every command that changed something has changed, whether the store still tells of it or not. */
  readonly entries: PastEntry[] = []
  readonly leases: LeaseModel
  readonly auth: AuthModel
  revision = 0
  private level = 0
  private readonly states: { readonly index: number; readonly state: ModelState }[] = []
  private readonly options: KvMachineOptions
  private readonly history: HistoryModel
  private readonly current = new Map<Key, KeyRecord>()
  /** What the present command has changed so far. */
  private present: KeyChange[] = []
  private readonly changes = new Map<Key, Change[]>()
  private readonly named: NamedWritesModel

  constructor(options: KvMachineOptions) {
    this.options = options
    this.history = new HistoryModel(options.history)
    this.named = new NamedWritesModel(options)
    this.leases = new LeaseModel(options.leases, {
      current: this.current,
      revision: () => this.revision,
      remove: (key, at) => this.change(key, null, at),
    })
    this.auth = new AuthModel(this.leases)
  }

  /** For each idempotency key, the indexes at which a command was executed under it for the first time. */
  get executions(): ReadonlyMap<string, readonly number[]> {
    return this.named.executions
  }

  execute(command: Command, index: number): CommandResult {
    this.present = []
    const needed = needsLevel1(command) ? 1 : 0
    const result: CommandResult =
      needed > this.level
        ? { type: 'level-too-low', level: needed, clusterLevel: this.level }
        : (this.auth.refuse(command) ?? this.performAllowed(command, index))
    this.resultsByIndex.set(index, result)
    if (this.present.length > 0) this.record({ revision: index, changes: this.present })
    const { revision, level, history, leases, auth } = this
    const state = { revision, level, past: history.state, leases: leases.state(), auth: auth.present }
    this.states.push({ index, state })
    return result
  }

  /** What the last command changed, in its order. */
  lastChanges(): readonly KeyChange[] {
    return this.present
  }

  /** The state after the command at `index` and all before it. */
  stateAt(index: number): ModelState {
    return this.states[this.countUpTo(index) - 1]?.state ?? AT_FIRST
  }

  /** Every revision that was the oldest to be readable at some time. */
  oldestRevisions(): Set<number> {
    return new Set(this.states.map(({ state }) => state.past?.compactedRevision ?? state.revision))
  }

  /** Whether `oldest` was the oldest revision that could be read when the store was at `revision`. */
  hasHad(revision: number, oldest: number): boolean {
    return this.statesWith(revision).some(({ past }) => (past?.compactedRevision ?? revision) === oldest)
  }

  /** What leases there were when the store was at `revision`, one after the other. */
  leasesWith(revision: number): ReturnType<typeof leasesAmong>[] {
    return [...new Set(this.statesWith(revision).map(({ leases }) => leases))].map(leasesAmong)
  }

  /** The state after the command at `from`, or the last one before it, and every later one; -1: before all commands. */
  statesFrom(from: number): readonly { readonly index: number; readonly state: ModelState }[] {
    const count = this.countUpTo(from)
    return count === 0 ? [{ index: -1, state: AT_FIRST }, ...this.states] : this.states.slice(count - 1)
  }

  /** The entries whose changes are still listed after the command at `index`, oldest first. */
  listedAt(index: number): readonly PastEntry[] {
    const { past } = this.stateAt(index)
    return past === null ? [] : this.history.listed(past.collectedRevision, index)
  }

  /** The revisions above `from` and up to `to` at which something changed. */
  revisionsBetween(from: number, to: number): number[] {
    return this.entries.map(({ revision }) => revision).filter((revision) => revision > from && revision <= to)
  }

  /** Every key that there ever was. */
  everyKey(): Key[] {
    return [...this.changes.keys()]
  }

  /** All that `key` has ever been, null where it was deleted, in order. */
  versionsOf(key: Key): readonly Change[] {
    return this.changes.get(key) ?? []
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
    return this.named.rememberedKeys()
  }

  keysAt(start: Key | null, end: Key | null, revision: number): Key[] {
    return [...this.changes.keys()]
      .filter((key) => (start === null || key >= start) && (end === null || key < end))
      .filter((key) => this.recordAt(key, revision) !== null)
      .sort((a, b) => (a < b ? -1 : 1))
  }

  private performAllowed(command: Command, index: number): CommandResult {
    if (isAuthCommand(command)) return this.auth.execute(command, index)
    if (command.idempotency === null) return this.perform(command, index)
    return this.named.once(command, index, () => this.perform(command, index))
  }

  private perform(command: NameableCommand, index: number): CommandResult {
    switch (command.type) {
      case 'put':
      case 'delete':
        return this.write(command, index)
      case 'delete-range':
        return this.deleteRange(command, index)
      case 'transaction':
        return this.transact(command, index)
      case 'raise-level':
        if (command.level > this.level) {
          this.level = command.level
          if (this.history.state === null) this.history.retain(command.retention, this.revision)
        }
        return { type: 'level-raised', level: this.level }
      case 'compaction':
        if (command.revision !== null && command.revision > this.revision)
          return { type: 'future-revision', revision: this.revision }
        return { type: 'compacted', ...this.history.compact(command.revision) }
      case 'retention':
        this.history.retain(command.retention, this.revision)
        return { type: 'retention-set' }
      case 'lease-grant':
      case 'lease-renew':
      case 'lease-revoke':
      case 'lock-acquire':
      case 'lock-release':
        return this.leases.execute(command, index, this.auth.nameBehind(command))
    }
  }

  private write(command: PutCommand | DeleteCommand, index: number): CommandResult {
    const before = this.current.get(command.key) ?? null
    if (!allows(command.condition, before)) {
      return { type: 'condition-failed', currentRevision: before?.modRevision ?? null }
    }
    const previous = command.wantsPrevious ? before : null
    if (command.type === 'delete') {
      if (before !== null) this.change(command.key, null, index)
      return { type: 'deleted', revision: this.revision, deleted: before === null ? 0 : 1, previous }
    }
    const refusal = command.lease === undefined ? null : this.leases.refuseKey(command.lease, before)
    if (refusal !== null) return refusal
    const createRevision = before?.createRevision ?? index
    const version = (before?.version ?? 0) + 1
    const lease = this.leases.leaseFor(command.lease, index)
    const record = { createRevision, modRevision: index, version, lease, value: command.value }
    this.change(command.key, record, index)
    return { type: 'put', revision: index, createRevision, version, previous }
  }

  private deleteRange(command: DeleteRangeCommand, index: number): CommandResult {
    const keys = keysWithin(command, { current: this.current })
    const limit = this.options.rangeDeleteKeysMax
    const fitting = this.fittingIn(keys.slice(0, limit))
    const left = keys.slice(fitting)
    if (!command.upToLimit && left.length > 0) {
      const limitBytes = this.history.rangeBytesMax
      if (fitting < limit && limitBytes !== null) return { type: 'range-too-heavy', limitBytes }
      return { type: 'range-too-large', limit, found: limit + 1 }
    }
    for (const key of keys.slice(0, fitting)) this.change(key, null, index)
    const { revision } = this
    return command.upToLimit
      ? { type: 'range-deleted', revision, deleted: fitting, next: left[0] ?? null }
      : { type: 'deleted', revision, deleted: fitting, previous: null }
  }

  /** How many of `keys` one entry may remove: up to the one whose record exceeds the bytes that it may copy. */
  private fittingIn(keys: readonly Key[]): number {
    const limit = this.history.rangeBytesMax ?? Infinity
    let bytes = 0
    for (const [at, key] of keys.entries()) {
      if (bytes > limit) return at
      bytes += rowBytesOf(key, this.current.get(key))
    }
    return keys.length
  }

  private transact(command: TransactionCommand, index: number): CommandResult {
    const store: TransactionStore = {
      current: this.current,
      change: (key: Key, record: KeyRecord | null) => this.change(key, record, index),
    }
    const { rangeDeleteKeysMax: limit, transaction } = this.options
    if (readsTooMuch(command, store, this.options))
      return { type: 'transaction-too-large', limitBytes: transaction.readBytesMax }
    const succeeded = command.compares.every((one) => holdsOf(one, this.current.get(one.key) ?? null) === true)
    const branch = succeeded ? command.success : command.failure
    // Each range is counted up to one more than the limit of all of them together.
    const doomed = branch.map((one) =>
      one.type === 'delete-range' ? Math.min(keysWithin(one, store).length, limit + 1) : 0,
    )
    const found = doomed.reduce((sum, count) => sum + count, 0)
    if (found > limit) return { type: 'range-too-large', limit, found }
    const refusal = this.leases.refuseKeys(
      branch.flatMap((one) =>
        one.type === 'put' && one.lease !== undefined
          ? [{ lease: one.lease, current: this.current.get(one.key) ?? null }]
          : [],
      ),
    )
    if (refusal !== null) return refusal
    const results = branch.map((operation) => performOperation(operation, index, store, this.options))
    return { type: 'transaction', succeeded, revision: this.revision, results }
  }

  private change(key: Key, record: KeyRecord | null, revision: number): void {
    const before = this.current.get(key) ?? null
    this.present.push({ key, before, after: record })
    this.leases.move(key, before?.lease ?? 0, record?.lease ?? 0, revision)
    if (record === null) this.current.delete(key)
    else this.current.set(key, record)
    const changes = this.changes.get(key)
    if (changes === undefined) this.changes.set(key, [{ revision, record }])
    else changes.push({ revision, record })
    this.revision = revision
  }

  private record(entry: PastEntry): void {
    this.entries.push(entry)
    this.history.record(entry)
  }

  /** How many commands were executed up to `index`. */
  private countUpTo(index: number): number {
    return this.countWhile((one) => one.index <= index)
  }

  /** The states with this revision: several, as not every command changes a record. */
  private statesWith(revision: number): ModelState[] {
    const from = this.countWhile(({ state }) => state.revision < revision)
    const to = this.countWhile(({ state }) => state.revision <= revision)
    const states = this.states.slice(from, to).map(({ state }) => state)
    return revision === 0 ? [AT_FIRST, ...states] : states
  }

  /** How many states there are before the first of which `isBefore` is not true. */
  private countWhile(isBefore: (one: ReferenceModel['states'][number]) => boolean): number {
    let [low, high] = [0, this.states.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const one = this.states[middle]
      if (one !== undefined && isBefore(one)) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Puts and deletions have been there from the beginning, without tokens. */
export function needsLevel1(command: Command): boolean {
  if (command.type !== 'raise-level' && command.token !== undefined) return true
  if (command.type === 'put') return command.lease !== undefined
  return command.type !== 'delete' && command.type !== 'delete-range' && command.type !== 'raise-level'
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
