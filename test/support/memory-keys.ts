import { isResultOf, type Command, type EntryChanges, type Key, type KvMachineOptions } from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import type {
  AnswerContext,
  KeyedRecord,
  KeyValueAccess,
  ReadOptions,
  Scan,
  ScanRange,
} from '../../src/api/services.ts'
import { BatchStore } from '../kv/support/batch-store.ts'

/** The id of the only node. */
export const NODE = 1

/** The keys of a node alone: the machine of a real one over rows in memory, with failures that a test can order. */
export class MemoryKeys implements KeyValueAccess {
  /** What a test does with it reaches no command and no read of these services. */
  readonly store: BatchStore
  readonly reads: ReadOptions[] = []
  readonly commands: { readonly command: Command; readonly timeoutMs: number }[] = []
  leader: number | null = NODE
  /** Open scans; each must be closed. */
  openScans = 0
  /** The next call fails with this error. */
  failure: Error | null = null
  /** Runs before each command. */
  beforeExecute: () => Promise<void> = async () => {}
  /** Runs before a read is answered. */
  beforeGet: () => Promise<void> = async () => {}
  /** Runs before each piece of a scan. */
  beforePiece: () => Promise<void> = async () => {}

  private readonly onChanged: (changes: EntryChanges) => void

  /** `onChanged` is told what each command has changed. */
  constructor(options: Partial<KvMachineOptions>, onChanged: (changes: EntryChanges) => void) {
    this.onChanged = onChanged
    const { keptValues, rangeDeleteKeysMax, transaction, history } = limits
    this.store = new BatchStore({ keptValues, rangeDeleteKeysMax, transaction, history, ...options })
  }

  async execute<Kind extends Command>(command: Kind, timeoutMs: number) {
    this.commands.push({ command, timeoutMs })
    await this.beforeExecute()
    this.raise()
    const result = this.store.one(command)
    const changes = this.store.machine.lastChanges()
    if (changes !== null) this.onChanged(changes)
    if (!isResultOf(command, result)) throw new Error('a command is answered in its kind')
    return { result, context: this.context('linearizable') }
  }

  async get(key: Key, options: ReadOptions) {
    this.begin(options)
    await this.beforeGet()
    return { record: this.store.record(key), context: this.context(options.consistency) }
  }

  async scan(range: ScanRange, options: ReadOptions): Promise<Scan> {
    this.begin(options)
    const items = this.select(range)
    this.openScans += 1
    let closed = false
    let at = 0
    const beginPiece = async (): Promise<void> => {
      if (closed) throw new TypeError('the scan is closed')
      await this.beforePiece()
      this.raise()
    }
    return {
      context: this.context(options.consistency),
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

  private select({ start, end, after, reverse }: ScanRange): KeyedRecord[] {
    const items = [...this.store.records()].map(([key, record]) => ({ key, record }))
    if (reverse) items.reverse()
    return items.filter(
      ({ key }) =>
        (start === null || key >= start) &&
        (end === null || key < end) &&
        (after === null || (reverse ? key < after : key > after)),
    )
  }

  private get revision(): number {
    return this.store.machine.state().revision
  }

  private context(consistency: AnswerContext['consistency']): AnswerContext {
    return { revision: this.revision, servedBy: NODE, leader: this.leader, consistency }
  }

  private begin(options: ReadOptions): void {
    this.reads.push(options)
    this.raise()
    const { minRevision } = options
    if (minRevision !== null && minRevision > this.revision) {
      const facts = { currentRevision: this.revision }
      throw new RequestError('future-revision', `revision ${minRevision} was not reached in time`, facts)
    }
  }

  private raise(): void {
    const { failure } = this
    this.failure = null
    if (failure !== null) throw failure
  }
}
