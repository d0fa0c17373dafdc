import { assert } from '../lib/assert.ts'
import type { Command, CommandResult, KvMachine, ReadSet, RowKey } from '../kv/index.ts'
import { decodeCommand } from '../kv/index.ts'
import type { Clock } from '../ports/clock.ts'
import type { LogBatch, LogId, LogIndex, StoredMembership } from '../raft/index.ts'
import { indexOf, logIndex } from '../raft/index.ts'
import type { Entry } from './entry.ts'
import { entriesOf } from './entry.ts'
import { Histogram, STORAGE_SECONDS } from './histogram.ts'
import type { Rows } from './rows.ts'
import { encodeStateMeta } from './state-meta.ts'

export interface ApplierOptions {
  readonly batchBytesMax: number
}

export interface ApplierDependencies {
  readonly rows: Rows
  readonly clock: Clock
  /** The batches that hold `[first, last]`, as many as fit `bytesMax`; null when they are gone. From memory, or else from disk. */
  readonly readCached: (first: LogIndex, last: LogIndex, bytesMax: number) => readonly LogBatch[] | null
  readonly read: (first: LogIndex, last: LogIndex, bytesMax: number) => Promise<readonly LogBatch[] | null>
  /** A command was executed: whoever waits for it under its origin and number may be answered. */
  readonly onResult: (entry: CommandEntry, result: CommandResult) => void
  /** Entries up to `logId` are applied. Called for each batch, after its results. */
  readonly onApplied: (logId: LogId) => void
  readonly onFault: (error: Error) => void
}

/** Commands looked at together: bounds the memory that their rows take. */
const SEGMENT_COMMANDS_MAX = 1024
/** How long changes gather for one write of the store, and how many bytes end the wait. */
const GATHER_MS = 10
const GATHER_BYTES_MAX = 1024 * 1024
/** Changes that may wait for the store before applying pauses. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024

type CommandEntry = Entry & { readonly kind: 'command' }

interface Decoded {
  readonly entry: CommandEntry
  readonly command: Command
  /** Commands with an idempotency tag in the segment, up to this one. */
  readonly keyed: number
  readonly reads: ReadSet
}

/**
 * Executes committed entries in order and answers whoever waits for them (architecture: data path, step 5).
 *
 * Answers leave as soon as a command is executed in memory: the log is durable, lookups see the changes at once, and the batch
 * for the store follows in the background, the next one gathering while one is on its way.
 */
export class Applier {
  readonly applySeconds = new Histogram(STORAGE_SECONDS)
  private readonly options: ApplierOptions
  private readonly deps: ApplierDependencies
  private machine: KvMachine
  private appliedId: LogId | null
  private membership: StoredMembership
  private committed: LogIndex
  /** What the state store holds, or will once the write on its way has ended. */
  private storedId: LogId | null
  private running = false
  private paused = false
  private stopped = false
  private idle: (() => void)[] = []
  private stored: (() => void)[] = []
  private cancelStore: (() => void) | null = null

  constructor(
    options: ApplierOptions,
    deps: ApplierDependencies,
    restored: { machine: KvMachine; applied: LogId | null; membership: StoredMembership },
  ) {
    this.options = options
    this.deps = deps
    this.machine = restored.machine
    this.appliedId = restored.applied
    this.storedId = restored.applied
    this.membership = restored.membership
    this.committed = indexOf(restored.applied)
  }

  get applied(): LogId | null {
    return this.appliedId
  }

  /** The last revision that changed the store, as of everything applied. */
  get revision(): number {
    return this.machine.state().revision
  }

  get digest(): string {
    return String(this.machine.state().digest)
  }

  /** Everything up to `index` is committed. Never decreases. */
  commitTo(index: LogIndex): void {
    if (index <= this.committed) return
    this.committed = index
    this.run()
  }

  /** Stops after the batch at hand and waits until the store has everything that was applied. */
  async pause(): Promise<void> {
    this.paused = true
    if (this.running) await new Promise<void>((resolve) => this.idle.push(resolve))
    await this.settle()
  }

  /** Goes on, from another state if one is given (a snapshot was installed). */
  resume(replaced?: { machine: KvMachine; applied: LogId; membership: StoredMembership }): void {
    if (replaced !== undefined) {
      this.machine = replaced.machine
      this.appliedId = replaced.applied
      this.storedId = replaced.applied
      this.membership = replaced.membership
      if (replaced.applied.index > this.committed) this.committed = replaced.applied.index
      this.deps.rows.reset()
    }
    this.paused = false
    this.run()
  }

  stop(): void {
    this.stopped = true
    this.cancelStore?.()
  }

  /** Resolves when the store has received everything that is applied now, whatever follows; returns what it then holds. */
  async settle(): Promise<LogId | null> {
    const upTo = indexOf(this.appliedId)
    while (!this.stopped && indexOf(this.storedId) < upTo) {
      await new Promise<void>((resolve) => {
        this.stored.push(resolve)
        this.store()
      })
    }
    return this.storedId
  }

  private run(): void {
    if (this.running || this.paused || this.stopped || indexOf(this.appliedId) >= this.committed) return
    this.running = true
    this.applyCommitted().then(
      () => {
        this.running = false
        for (const resolve of this.idle.splice(0)) resolve()
        this.run()
      },
      (error: unknown) => this.fail(error),
    )
  }

  private async applyCommitted(): Promise<void> {
    while (!this.paused && !this.stopped && indexOf(this.appliedId) < this.committed) {
      const first = logIndex(indexOf(this.appliedId) + 1)
      const bytesMax = this.options.batchBytesMax
      const batches =
        this.deps.readCached(first, this.committed, bytesMax) ?? (await this.deps.read(first, this.committed, bytesMax))
      assert(batches !== null && batches.length > 0, 'committed entries stay readable until they are applied')
      const startedAt = this.deps.clock.now()
      for (const batch of batches) await this.applyBatch(batch)
      this.applySeconds.record((this.deps.clock.now() - startedAt) / 1000)
      if (this.deps.rows.waitingBytes > WAITING_BYTES_MAX) await this.settle()
    }
  }

  private async applyBatch(batch: LogBatch): Promise<void> {
    const { leaderId } = batch
    let segment: Decoded[] = []
    const executeBefore = async (index: LogIndex): Promise<void> => {
      await this.execute(segment, { leaderId, index: logIndex(index - 1) })
      segment = []
    }
    for (const entry of entriesOf(batch)) {
      if (entry.kind === 'command') {
        if (segment.length === SEGMENT_COMMANDS_MAX) await executeBefore(entry.index)
        let decoded = this.decode(entry, segment)
        if (decoded.reads.ranges.length > 0) {
          // A range is read from the store: everything before has to be there, and the command is looked at anew.
          await executeBefore(entry.index)
          await this.settle()
          decoded = this.decode(entry, segment)
        }
        segment.push(decoded)
        if (decoded.reads.ranges.length > 0) await executeBefore(logIndex(entry.index + 1))
      } else if (entry.kind === 'membership') {
        await executeBefore(entry.index)
        this.membership = { logId: { leaderId, index: entry.index }, membership: entry.membership }
        await executeBefore(logIndex(entry.index + 1))
      }
    }
    await this.execute(segment, { leaderId, index: batch.last })
  }

  private decode(entry: CommandEntry, before: readonly Decoded[]): Decoded {
    const command = decodeCommand(entry.command)
    const keyedBefore = before.at(-1)?.keyed ?? 0
    const keyed = keyedBefore + (command.idempotency === null ? 0 : 1)
    return { entry, command, keyed, reads: this.machine.readsOf(command, keyedBefore) }
  }

  /** Executes `segment`; everything up to `upTo` is applied then. Between its loads and its end nothing else runs. */
  private async execute(segment: readonly Decoded[], upTo: LogId): Promise<void> {
    const { rows } = this.deps
    if (segment.length > 0) await this.loadFor(segment)
    for (const { entry, command } of segment) {
      this.deps.onResult(entry, this.machine.execute(command, entry.index, rows))
    }
    rows.release()
    if (upTo.index <= indexOf(this.appliedId)) return
    this.appliedId = upTo
    this.deps.onApplied(upTo)
    this.store()
  }

  private async loadFor(segment: readonly Decoded[]): Promise<void> {
    const { rows } = this.deps
    const missing = new Set<RowKey>()
    for (const { reads } of segment) for (const row of reads.rows) if (!rows.pin(row)) missing.add(row)
    if (missing.size > 0) await rows.load([...missing])
    for (const { reads } of segment) for (const range of reads.ranges) await rows.loadRange(range.start, range.end)
  }

  /**
   * Sees to it that what has gathered reaches the store: after a little while, so that one write carries the changes of many batches,
   * or at once when somebody waits for it or much has gathered. One write is on its way at a time.
   */
  private store(): void {
    const { rows, clock } = this.deps
    if (rows.isWriting || this.stopped || indexOf(this.storedId) >= indexOf(this.appliedId)) return
    if (this.stored.length > 0 || rows.waitingBytes >= GATHER_BYTES_MAX) return this.write()
    this.cancelStore ??= clock.after(GATHER_MS, () => this.write())
  }

  private write(): void {
    this.cancelStore?.()
    this.cancelStore = null
    const { rows } = this.deps
    const applied = this.appliedId
    if (applied === null || this.stopped || rows.isWriting) return
    const meta = encodeStateMeta({ applied, membership: this.membership, machine: this.machine.state() })
    rows.flush(meta).then(
      () => {
        this.storedId = applied
        for (const resolve of this.stored.splice(0)) resolve()
        this.store()
      },
      (error: unknown) => this.fail(error),
    )
  }

  private fail(error: unknown): void {
    if (this.stopped) return
    this.stopped = true
    this.running = false
    for (const resolve of [...this.idle.splice(0), ...this.stored.splice(0)]) resolve()
    this.deps.onFault(error instanceof Error ? error : new Error(String(error)))
  }
}
