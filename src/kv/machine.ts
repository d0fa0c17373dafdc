import { assert } from '../lib/assert.ts'
import { isAuthCommand } from './auth-codec.ts'
import { Authority } from './authority.ts'
import type { AuthTable } from './auth-table.ts'
import type { EntryChanges } from './change.ts'
import type {
  Command,
  CompactionCommand,
  Condition,
  DeleteCommand,
  NameableCommand,
  PutCommand,
  RaiseLevelCommand,
  RetentionCommand,
} from './command.ts'
import { Digest } from './digest.ts'
import { levelOf } from './feature-level.ts'
import { History, type HistoryLimits } from './history.ts'
import type { FirstResult } from './idempotent-write.ts'
import type { RowKey } from './key.ts'
import { LeaseEnd } from './lease-end.ts'
import type { LeaseEvent } from './lease-event.ts'
import { LeaseLedger } from './lease-ledger.ts'
import { leaseRow, lockRow } from './lease-row.ts'
import { Leases, type LeaseLimits } from './leases.ts'
import { Locks } from './locks.ts'
import { NO_LEASES, type MachineState } from './machine-state.ts'
import { mayKeep, NamedWrites, type NamedWritesOptions } from './named-writes.ts'
import { RangeDeletes } from './range-deletes.ts'
import type { KeyRecord } from './record.ts'
import { Records } from './records.ts'
import type { CommandResult, LevelTooLow } from './result.ts'
import { recordRow } from './row.ts'
import { Transactions, type TransactionLimits } from './transactions.ts'
import type { RangeRead, ReadSet, Workspace } from './workspace.ts'

export interface KvMachineOptions extends NamedWritesOptions {
  /**
   * How many keys one entry may remove as a range; at least 1. Results depend on it: the same on every node, changed only with the format.
   */
  readonly rangeDeleteKeysMax: number
  readonly transaction: TransactionLimits
  readonly history: HistoryLimits
  readonly leases: LeaseLimits
}

/** What changed apart from the records, as the digest keeps it. A number once used never means anything else. */
const LEVEL_RAISED = 15
const RETENTION_SET = 16
const FUTURE_REVISION = 17
/** A command that the cluster does not have yet. */
const LEVEL_TOO_LOW = 18

const NO_RANGES: readonly RangeRead[] = []

/** Whether what `command` reads depends on what it finds, so that nothing else may be in its batch. */
export function runsAlone(command: Command): boolean {
  if (isAuthCommand(command)) return true
  switch (command.type) {
    case 'delete-range':
    case 'transaction':
    case 'compaction':
    case 'lease-revoke':
    case 'lock-release':
      return true
    default:
      return false
  }
}

/**
 * The replicated state machine: executes committed commands, one at a time, in the order of the log. Deterministic: the same commands with
 * the same revisions on the same rows give the same rows, results and state everywhere.
 *
 * The caller takes a batch of commands, asks for their read sets, loads the union, and then executes the commands over one workspace.
 * Nothing else executes between that question and the last command of the batch. The caller may stop early, and ask anew for the rest.
 */
export class KvMachine {
  private readonly digest: Digest
  private readonly history: History
  private readonly records: Records
  private readonly rangeDeletes: RangeDeletes
  private readonly transactions: Transactions
  private readonly ledger: LeaseLedger
  private readonly leaseEnds: LeaseEnd
  private readonly leases: Leases
  private readonly locks: Locks
  private readonly named: NamedWrites
  private readonly authority: Authority
  private raised: number
  private changes: EntryChanges | null = null

  /**
   * `restored`: what `state()` returned when the rows were as they are now; null for an empty store. `auth`: the roles and tokens in their row
   * (`AUTH_ROW`); null when there are none.
   */
  constructor(options: KvMachineOptions, restored: MachineState | null, auth: AuthTable | null = null) {
    assert((auth?.revision ?? 0) === (restored?.auth ?? 0), 'roles and tokens belong to the state')
    const { transaction, rangeDeleteKeysMax } = options
    const digest = new Digest(restored?.digest ?? 0)
    this.digest = digest
    this.history = new History(options.history, this.digest, restored?.history ?? null)
    this.ledger = new LeaseLedger(restored?.leases ?? NO_LEASES)
    const { history, ledger } = this
    this.records = new Records({ digest, history, leases: ledger }, restored?.revision ?? 0)
    const { records } = this
    this.leaseEnds = new LeaseEnd(options.leases, ledger, records, digest)
    this.leases = new Leases(options.leases, ledger, this.leaseEnds, digest)
    this.locks = new Locks(this.leases, ledger, this.leaseEnds, digest)
    this.rangeDeletes = new RangeDeletes(rangeDeleteKeysMax, this.records, this.history)
    this.transactions = new Transactions(transaction, rangeDeleteKeysMax, { records, leases: this.leases, digest })
    this.named = new NamedWrites(options, this.digest, restored)
    this.authority = new Authority(ledger, digest, auth)
    this.raised = restored?.level ?? 0
  }

  /** The revision of the last command that changed a record. */
  get revision(): number {
    return this.records.revision
  }

  state(): MachineState {
    const { idempotentFirst, idempotentNext, keptValues } = this.named.state()
    return {
      revision: this.records.revision,
      digest: this.digest.value,
      idempotentFirst,
      idempotentNext,
      keptValues,
      level: this.raised,
      history: this.history.state(),
      leases: this.ledger.state(),
      auth: this.authority.table?.revision ?? 0,
    }
  }

  /** Every member of the cluster knows the commands up to this level. */
  get level(): number {
    return this.raised
  }

  /** The roles and tokens; null when there are none. */
  get auth(): AuthTable | null {
    return this.authority.table
  }

  /** What the last command changed; null when it changed no record. */
  lastChanges(): EntryChanges | null {
    return this.changes
  }

  /** What commands have done to leases since the last call. */
  takeLeaseEvents(): readonly LeaseEvent[] {
    return this.ledger.takeEvents()
  }

  /**
   * What must be loaded before each of `commands` executes, one after the other and with nothing in between. The rows that a command looks
   * at are in its own read set or in that of an earlier command.
   */
  readsOf(commands: readonly Command[]): readonly ReadSet[] {
    let named = 0
    let keeping = 0
    return commands.map((command) => {
      const reads = this.readsOfUnnamed(command)
      const tag = command.idempotency
      if (tag === null) return reads
      const rows = [...reads.rows, ...this.named.readsOf(command, tag, { named, keeping })]
      named += 1
      if (mayKeep(command)) keeping += 1
      return { ...reads, rows }
    })
  }

  /**
   * What a command that runs alone looks at besides, once what it named before is loaded: some rows name others. To be asked until it returns
   * null; `step` counts from 0.
   */
  moreReadsOf(command: Command, step: number, workspace: Workspace): ReadSet | null {
    if (command.type === 'lease-revoke') return this.leaseEnds.readsOf(command.id, step, workspace)
    return command.type === 'lock-release' ? this.leaseEnds.readsOf(command.lease, step, workspace) : null
  }

  private readsOfUnnamed(command: Command): ReadSet {
    switch (command.type) {
      case 'put':
        return rowsOnly(recordRow(command.key), ...grantedLeaseOf(command).map(leaseRow))
      case 'delete':
        return rowsOnly(recordRow(command.key))
      case 'delete-range':
        return this.rangeDeletes.readsOf(command)
      case 'transaction':
        return this.transactions.readsOf(command)
      case 'compaction':
        return this.history.readsOf()
      case 'raise-level':
      case 'retention':
      case 'auth-bootstrap':
      case 'role-put':
      case 'role-delete':
      case 'token-create':
      case 'token-delete':
      case 'auth-reset':
        return rowsOnly()
      case 'lease-grant':
        return command.id === null ? rowsOnly() : rowsOnly(leaseRow(command.id))
      case 'lease-renew':
      case 'lease-revoke':
        return rowsOnly(leaseRow(command.id))
      case 'lock-acquire':
        return rowsOnly(lockRow(command.name))
      case 'lock-release':
        return rowsOnly(lockRow(command.name), leaseRow(command.lease))
    }
  }

  /** `revision`: the index of the command's log entry, above that of every command before it. */
  execute(command: Command, revision: number, workspace: Workspace): CommandResult {
    assert(Number.isSafeInteger(revision) && revision > this.records.revision, 'revisions of commands ascend')
    this.digest.absorbInteger(revision)
    const level = levelOf(command)
    const result = level > this.raised ? this.refuseLevel(level) : this.executeAllowed(command, revision, workspace)
    this.changes = this.history.finish(revision, workspace)
    return result
  }

  /**
   * Nodes refuse such a command before they propose it, by what they have applied; the log decides, and alike on every replica. The refusal
   * is no answer to a named write: its retry is executed once the level is there.
   */
  private refuseLevel(level: number): LevelTooLow {
    this.digest.absorb(LEVEL_TOO_LOW)
    this.digest.absorb(level)
    return { type: 'level-too-low', level, clusterLevel: this.raised }
  }

  /** A refusal for want of a right is no answer to a named write either. */
  private executeAllowed(command: Command, revision: number, workspace: Workspace): CommandResult {
    return this.authority.refuse(command, workspace) ?? this.executeNamed(command, revision, workspace)
  }

  private executeNamed(command: Command, revision: number, workspace: Workspace): CommandResult {
    if (isAuthCommand(command)) return this.authority.execute(command, revision, workspace)
    const tag = command.idempotency
    const execute = (): FirstResult => this.executeOnce(command, revision, workspace)
    return tag === null ? execute() : this.named.once(command, tag, workspace, execute)
  }

  private executeOnce(command: NameableCommand, revision: number, workspace: Workspace): FirstResult {
    switch (command.type) {
      case 'put':
        return this.put(command, revision, workspace)
      case 'delete':
        return this.delete(command, revision, workspace)
      case 'delete-range':
        return this.rangeDeletes.execute(command, revision, workspace)
      case 'transaction':
        return this.transactions.execute(command, revision, workspace)
      case 'raise-level':
        return this.raiseLevel(command)
      case 'compaction':
        return this.compact(command, workspace)
      case 'retention':
        return this.setRetention(command)
      case 'lease-grant':
        return this.leases.grant(command, this.authority.holderOf(command), revision, workspace)
      case 'lease-renew':
        return this.leases.renew(command, revision, workspace)
      case 'lease-revoke':
        return this.leases.revoke(command, revision, workspace)
      case 'lock-acquire':
        return this.locks.acquire(command, this.authority.holderOf(command), revision, workspace)
      case 'lock-release':
        return this.locks.release(command, revision, workspace)
    }
  }

  private put(command: PutCommand, revision: number, workspace: Workspace): FirstResult {
    const { key, value, wantsPrevious } = command
    const current = this.records.find(key, workspace)
    if (!holds(command.condition, current)) return this.refuse(command, current)
    if (command.lease !== undefined) {
      const refusal = this.leases.refuseKey(command.lease, current, workspace)
      if (refusal !== null) return refusal
    }
    const lease = this.leases.leaseFor(key, command.lease, revision, workspace)
    const { createRevision, version } = this.records.put(key, { value, lease }, current, revision, workspace)
    return { type: 'put', revision, createRevision, version, previous: wantsPrevious ? current : null }
  }

  private delete(command: DeleteCommand, revision: number, workspace: Workspace): FirstResult {
    const { key, wantsPrevious } = command
    const current = this.records.find(key, workspace)
    if (!holds(command.condition, current)) return this.refuse(command, current)
    const deleted = this.records.remove(key, current, revision, workspace)
    return { type: 'deleted', revision: this.records.revision, deleted, previous: wantsPrevious ? current : null }
  }

  private refuse({ key }: PutCommand | DeleteCommand, current: KeyRecord | null): FirstResult {
    this.records.refuse(key, current)
    return { type: 'condition-failed', currentRevision: current === null ? null : current.modRevision }
  }

  private raiseLevel({ level, retention }: RaiseLevelCommand): FirstResult {
    if (level > this.raised) {
      this.raised = level
      if (this.history.state() === null) this.history.setRetention(retention, this.records.revision)
    }
    this.digest.absorb(LEVEL_RAISED)
    this.digest.absorb(this.raised)
    return { type: 'level-raised', level: this.raised }
  }

  private compact(command: CompactionCommand, workspace: Workspace): FirstResult {
    const { revision } = this.records
    if (command.revision !== null && command.revision > revision) {
      this.digest.absorb(FUTURE_REVISION)
      return { type: 'future-revision', revision }
    }
    return { type: 'compacted', ...this.history.compact(command, workspace) }
  }

  private setRetention({ retention }: RetentionCommand): FirstResult {
    this.history.setRetention(retention, this.records.revision)
    this.digest.absorb(RETENTION_SET)
    for (const number of [retention.revisions, retention.ageMs, retention.bytes]) this.digest.absorbInteger(number)
    return { type: 'retention-set' }
  }
}

function rowsOnly(...rows: readonly RowKey[]): ReadSet {
  return { rows, ranges: NO_RANGES, bounded: null }
}

function grantedLeaseOf({ lease }: PutCommand): readonly number[] {
  return lease?.type === 'granted' ? [lease.id] : []
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
