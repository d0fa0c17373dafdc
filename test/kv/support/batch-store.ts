import {
  AUTH_ROW,
  KvMachine,
  askedBytes,
  decodeAuthTable,
  decodeRecord,
  encodeRecord,
  keyFromText,
  keyOfRow,
  recordRange,
  recordRow,
  runsAlone,
} from '../../../src/kv/index.ts'
import type {
  AuthTable,
  BoundedReads,
  Command,
  CommandResult,
  DeleteCommand,
  DeleteRangeCommand,
  Key,
  KeyRecord,
  KvMachineOptions,
  MachineState,
  PutCommand,
  RangeRead,
  ReadSet,
  Retention,
  RowKey,
  Workspace,
} from '../../../src/kv/index.ts'
import { Digest } from '../../../src/kv/digest.ts'
import { assert } from '../../../src/lib/assert.ts'
import type { StoredRows } from './stored-past.ts'

export const MACHINE_OPTIONS: KvMachineOptions = {
  idempotentWritesMax: 1000,
  keptValues: { inlineBytesMax: 256, rings: [{ valueBytesMax: 1_000_000, slots: 100 }] },
  rangeDeleteKeysMax: 1000,
  leases: { leasesMax: 100, attachedKeysMax: 200, endKeysMax: 10, endBytesMax: 10_000 },
  transaction: { readBytesMax: 100_000, listBytesMax: 10_000 },
  history: { rangeBytesMax: 100_000, stepRevisionsMax: 10, stepRecordsMax: 20, stepBytesMax: 10_000 },
}

/**
 * Rows in memory, and a machine that executes batches on them as a node does: the read sets of a whole batch are asked for
 * before any of it executes, and a command that touches a row outside them is a failure.
 */
export class BatchStore {
  readonly rows = new Map<RowKey, Uint8Array>()
  readonly options: KvMachineOptions
  machine: KvMachine
  revision = 0

  constructor(
    options: Partial<KvMachineOptions> = {},
    state: MachineState | null = null,
    auth: AuthTable | null = null,
  ) {
    this.options = { ...MACHINE_OPTIONS, ...options }
    this.machine = new KvMachine(this.options, state, auth)
  }

  /** The cluster has level 1 from its beginning, and keeps no history unless it is told to. Revisions begin with 1 nevertheless. */
  raise(retention: Retention = { revisions: 0, ageMs: 1_000, bytes: 65_536 }): this {
    assert(this.revision === 0, 'nothing comes before it')
    this.one({ type: 'raise-level', level: 1, version: '1.0.0', retention, idempotency: null })
    this.revision = 0
    return this
  }

  /** Executes `commands` as one batch with consecutive revisions. */
  execute(...commands: readonly Command[]): readonly CommandResult[] {
    const readSets = this.machine.readsOf(commands)
    const workspace = new CheckedWorkspace(this.rows)
    const results = commands.map((command, i) => {
      assert(commands.length === 1 || !runsAlone(command) || readSets[i]?.bounded === null, 'such a command is alone')
      workspace.allow(readSets[i])
      if (runsAlone(command)) this.allowMore(command, workspace)
      this.revision += 1
      return this.machine.execute(command, this.revision, workspace)
    })
    for (const [row, bytes] of workspace.written) {
      if (bytes === null) this.rows.delete(row)
      else this.rows.set(row, bytes)
    }
    return results
  }

  private allowMore(command: Command, workspace: CheckedWorkspace): void {
    for (let step = 0; ; step++) {
      const more = this.machine.moreReadsOf(command, step, workspace)
      if (more === null) return
      workspace.allow(more)
    }
  }

  /** Executes one command alone. */
  one(command: Command): CommandResult {
    const [result] = this.execute(command)
    assert(result !== undefined, 'a batch of one has one result')
    return result
  }

  record(key: Key): KeyRecord | null {
    const bytes = this.rows.get(recordRow(key))
    return bytes === undefined ? null : decodeRecord(bytes)
  }

  /** The records by key, ascending. */
  records(): ReadonlyMap<Key, KeyRecord> {
    const { start, end } = recordRange(null, null)
    const rows = [...this.rows].filter(([row]) => row >= start && end !== null && row < end)
    rows.sort(([a], [b]) => (a < b ? -1 : 1))
    return new Map(rows.map(([row, bytes]) => [keyOfRow(row), decodeRecord(bytes)]))
  }

  /** Puts a record among the rows that no command has made. */
  plant(key: Key, record: KeyRecord): void {
    this.rows.set(recordRow(key), encodeRecord(record))
  }

  /** The rows in the order of their names. */
  stored(): StoredRows {
    const names = [...this.rows.keys()].sort()
    return { keys: () => names, get: (row) => this.rows.get(row as RowKey) ?? null }
  }

  /** The rows as a comparable list. */
  dump(): string[] {
    return [...this.rows].map(([row, bytes]) => `${row} ${Buffer.from(bytes).toString('hex')}`).sort()
  }

  /** A store with the same rows and a machine restored from the state of this one. */
  restored(): BatchStore {
    const auth = this.rows.get(AUTH_ROW)
    const table = auth === undefined ? null : decodeAuthTable(auth)
    const copy = new BatchStore(this.options, this.machine.state(), table)
    for (const [row, bytes] of this.rows) copy.rows.set(row, bytes)
    copy.revision = this.revision
    return copy
  }
}

class CheckedWorkspace implements Workspace {
  readonly written = new Map<RowKey, Uint8Array | null>()
  private readonly rows: ReadonlyMap<RowKey, Uint8Array>
  private readonly allowedRows = new Set<RowKey>()
  private readonly allowedRanges = new Map<string, readonly RowKey[]>()
  isExceeded = false

  constructor(rows: ReadonlyMap<RowKey, Uint8Array>) {
    this.rows = rows
  }

  allow(readSet: ReadSet | undefined): void {
    for (const row of readSet?.rows ?? []) this.allowedRows.add(row)
    for (const range of readSet?.ranges ?? []) this.allowRange(range)
    this.isExceeded = false
    if (readSet?.bounded) this.allowBounded(readSet.bounded)
  }

  /** As it is documented, and not as a node does it: everything is looked at, and counted. */
  private allowBounded({ rows, ranges, bytesMax }: BoundedReads): void {
    let bytes = 0
    const count = (row: RowKey): number => row.length + (this.find(row)?.length ?? 0)
    for (const row of rows) {
      this.allowedRows.add(row)
      bytes += count(row)
    }
    for (const range of ranges) {
      this.allowRange(range)
      let page = 0
      for (const row of this.rowsIn(range)) {
        if (range.bytesMax > 0 && page > range.bytesMax) break
        page += range.bytesMax > 0 ? count(row) : row.length
        if (range.bytesMax > 0) this.allowedRows.add(row)
      }
      bytes += page
    }
    this.isExceeded = bytes > bytesMax
  }

  get(row: RowKey): Uint8Array | null {
    assert(this.allowedRows.has(row), 'a row that is read is in the read set')
    return this.find(row)
  }

  private find(row: RowKey): Uint8Array | null {
    const written = this.written.get(row)
    return written === undefined ? (this.rows.get(row) ?? null) : written
  }

  put(row: RowKey, bytes: Uint8Array): void {
    this.written.set(row, bytes)
  }

  remove(row: RowKey): void {
    this.written.set(row, null)
  }

  rowsIn(range: RangeRead): readonly RowKey[] {
    const rows = this.allowedRanges.get(JSON.stringify(range))
    assert(rows !== undefined, 'a range that is read is in the read set')
    return rows
  }

  private allowRange(range: RangeRead): void {
    const { start, end, limit } = range
    const present = [...this.rows.keys()].filter((row) => this.written.get(row) !== null)
    for (const [row, bytes] of this.written) if (bytes !== null && !this.rows.has(row)) present.push(row)
    const inside = present.filter((row) => row >= start && (end === null || row < end))
    this.allowedRanges.set(JSON.stringify(range), inside.sort().slice(0, limit))
  }
}

export function key(text: string): Key {
  const outcome = keyFromText(text, 4096)
  assert(outcome.kind === 'key', `${JSON.stringify(text)} is a key`)
  return outcome.key
}

export function put(text: string, value: string, options: Partial<PutCommand> = {}): PutCommand {
  const plain = { condition: null, wantsPrevious: false, idempotency: null }
  return { type: 'put', key: key(text), value: Buffer.from(value), ...plain, ...options }
}

export function del(text: string, options: Partial<DeleteCommand> = {}): DeleteCommand {
  return { type: 'delete', key: key(text), condition: null, wantsPrevious: false, idempotency: null, ...options }
}

export function deleteRange(
  start: string | null,
  end: string | null,
  options: Partial<DeleteRangeCommand> = {},
): DeleteRangeCommand {
  const bounds = { start: start === null ? null : key(start), end: end === null ? null : key(end) }
  return { type: 'delete-range', ...bounds, upToLimit: false, idempotency: null, ...options }
}

/** A fingerprint for `command`, as the HTTP front makes one, of another hash. */
export function fingerprintOf(command: Command): number {
  const digest = new Digest(0)
  digest.absorbBytes(askedBytes(command))
  return digest.value
}
