import {
  denialError,
  isHistoryKept,
  isResultOf,
  oldestRevision,
  type Command,
  type EntryChanges,
  type Key,
  type KeyRecord,
  type KvMachineOptions,
} from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import type {
  AnswerContext,
  Caller,
  ExecuteOptions,
  HistoryAccess,
  KeyedRecord,
  KeyValueAccess,
  ReadOptions,
  Scan,
  ScanRange,
  VersionPage,
} from '../../src/api/services.ts'
import { BatchStore } from '../kv/support/batch-store.ts'

/** The id of the only node. */
export const NODE = 1

export interface MemoryKeysOptions extends Partial<KvMachineOptions> {
  /** The feature level of its cluster; left out for the one of this build. */
  readonly level?: 0
}

/** The keys of a node alone: the machine of a real one over rows in memory, with failures that a test can order. */
export class MemoryKeys implements KeyValueAccess, HistoryAccess {
  /** What a test does with it reaches no command and no read of these services. */
  readonly store: BatchStore
  readonly reads: Omit<ReadOptions, 'guard'>[] = []
  readonly commands: { readonly command: Command; readonly timeoutMs: number; readonly isOnlyHere: boolean }[] = []
  leader: number | null = NODE
  /** Open scans; each must be closed. */
  openScans = 0
  /** Puts and deletes of keys are refused with this error. */
  refusal: RequestError | null = null
  /** The number that `overload` was last called with. */
  underWay = 0
  /** The next call fails with this error. */
  failure: Error | null = null
  /** The records as each command has left them, the oldest first. */
  private readonly past: { readonly revision: number; readonly records: ReadonlyMap<Key, KeyRecord> }[] = []
  /** Runs before each command, with the client that waits for it. */
  beforeExecute: (caller: Caller | undefined) => Promise<void> = async () => {}
  /** Runs after each command. */
  onExecuted: () => void = () => {}
  /** Runs before a read is answered. */
  beforeGet: () => Promise<void> = async () => {}
  /** Runs before a scan asks for room. */
  beforePrepare = (): void => undefined
  /** Runs before a page of versions is read, for what a real node waits for. */
  beforeVersions: () => Promise<void> = async () => {}
  /** Runs before each piece of a scan. */
  beforePiece: () => Promise<void> = async () => {}

  private readonly onChanged: (changes: EntryChanges) => void

  /** `onChanged` is told what each command has changed. */
  constructor(options: MemoryKeysOptions, onChanged: (changes: EntryChanges) => void) {
    this.onChanged = onChanged
    const { keptValues, rangeDeleteKeysMax, transaction, history, leases } = limits
    this.store = new BatchStore({ keptValues, rangeDeleteKeysMax, transaction, history, leases, ...options })
    if (options.level !== 0) this.store.raise()
  }

  get level(): number {
    return this.store.machine.level
  }

  async execute<Kind extends Command>(
    command: Kind,
    timeoutMs: number,
    caller?: Caller,
    { isOnlyHere = false }: ExecuteOptions = {},
  ) {
    this.commands.push({ command, timeoutMs, isOnlyHere })
    await this.beforeExecute(caller)
    this.raise()
    const result = this.store.one(command)
    this.onExecuted()
    if (result.type === 'unauthenticated' || result.type === 'forbidden') throw denialError(result)
    const changes = this.store.machine.lastChanges()
    if (changes !== null) this.onChanged(changes)
    if (!isResultOf(command, result)) throw new Error('a command is answered in its kind')
    this.past.push({ revision: this.revision, records: new Map(this.store.records()) })
    return { result, context: this.context({ consistency: 'linearizable' }) }
  }

  overload(underWay: number): RequestError | null {
    this.underWay = underWay
    return this.refusal
  }

  async get(key: Key, options: ReadOptions) {
    this.begin(options)
    await this.beforeGet()
    return { record: this.recordsAt(options).get(key) ?? null, context: this.context(options) }
  }

  walk(range: ScanRange, options: ReadOptions): Promise<Scan> {
    return this.scan(range, options)
  }

  async scan(range: ScanRange, options: ReadOptions): Promise<Scan> {
    this.begin(options)
    this.beforePrepare()
    await options.prepare?.()
    const items = this.select(range, options)
    this.openScans += 1
    let closed = false
    let at = 0
    const beginPiece = async (): Promise<void> => {
      if (closed) throw new TypeError('the scan is closed')
      await this.beforePiece()
      this.raise()
    }
    return {
      context: this.context(options),
      isRepeatable: options.revision !== undefined || isHistoryKept(this.store.machine.state()),
      next: async (limit, bytesMax) => {
        await beginPiece()
        const piece: KeyedRecord[] = []
        for (let bytes = 0; piece.length < limit && (piece.length === 0 || bytes < bytesMax); at++) {
          const item = items[at]
          if (item === undefined) break
          piece.push(item)
          bytes += item.record.value.length
        }
        return { items: piece, done: at >= items.length }
      },
      count: async (limit) => {
        await beginPiece()
        const count = Math.min(limit, items.length - at)
        at += count
        return { count, done: at >= items.length }
      },
      close: async () => {
        if (closed) throw new TypeError('the scan is closed twice')
        closed = true
        this.openScans -= 1
      },
    }
  }

  async versions(key: Key, page: Parameters<HistoryAccess['versions']>[1], options: ReadOptions): Promise<VersionPage> {
    this.begin(options)
    await this.beforeVersions()
    await options.prepare?.()
    const oldest = oldestRevision(this.store.machine.state())
    const found: { revision: number; record: KeyRecord | null }[] = []
    let before = 0
    for (const { revision, records } of this.past) {
      const record = records.get(key) ?? null
      const at = record?.modRevision ?? 0
      if (at === before) continue
      if (revision <= oldest) found.length = 0
      if (revision > oldest || record !== null) found.unshift({ revision, record })
      before = at
    }
    const below = found.filter(({ revision }) => page.before === null || revision < page.before)
    const items = below.slice(0, page.limit)
    const done = items.length === below.length
    return { items, done, compactedRevision: oldest, context: this.context(options) }
  }

  async status(options: ReadOptions) {
    this.begin(options)
    return { status: this.statusHere(), context: this.context(options) }
  }

  statusHere() {
    const machine = this.store.machine.state()
    const { changes = 0, bytes = 0, retention = null } = machine.history ?? {}
    return { compactedRevision: oldestRevision(machine), revision: machine.revision, changes, bytes, retention }
  }

  private recordsAt({ revision, consistency }: ReadOptions): ReadonlyMap<Key, KeyRecord> {
    if (revision === undefined) return new Map(this.store.records())
    const compactRevision = oldestRevision(this.store.machine.state())
    if (revision > this.revision) {
      const facts = { currentRevision: this.revision }
      throw new RequestError(
        'future-revision',
        `there is no revision ${revision} yet`,
        facts,
        this.context({ consistency }),
      )
    }
    if (revision < compactRevision)
      throw new RequestError(
        'compacted',
        `revision ${revision} cannot be read any more`,
        { compactRevision },
        this.context({ consistency }),
      )
    return this.past.findLast((one) => one.revision <= revision)?.records ?? new Map<Key, KeyRecord>()
  }

  private select({ start, end, after, reverse }: ScanRange, options: ReadOptions): KeyedRecord[] {
    const items = [...this.recordsAt(options)].map(([key, record]) => ({ key, record }))
    if (reverse) items.reverse()
    return items.filter(
      ({ key }) =>
        (start === null || key >= start) &&
        (end === null || key < end) &&
        (after === null || (reverse ? key < after : key > after)),
    )
  }

  /** A read of something other than keys begins. */
  async read(options: ReadOptions): Promise<AnswerContext> {
    this.begin(options)
    await options.prepare?.()
    return this.context(options)
  }

  private get revision(): number {
    return this.store.machine.state().revision
  }

  private context({
    consistency,
    revision = this.revision,
  }: Pick<ReadOptions, 'consistency' | 'revision'>): AnswerContext {
    return { revision, servedBy: NODE, leader: this.leader, consistency }
  }

  private begin(options: ReadOptions): void {
    const { guard, prepare: _, ...asked } = options
    this.reads.push(asked)
    this.raise()
    guard?.check()
    const { minRevision } = options
    if (minRevision !== null && minRevision > this.revision) {
      const facts = { currentRevision: this.revision }
      throw new RequestError(
        'future-revision',
        `revision ${minRevision} was not reached in time`,
        facts,
        this.context(options),
      )
    }
  }

  private raise(): void {
    const { failure } = this
    this.failure = null
    if (failure !== null) throw failure
  }
}
