import { assert } from '../../lib/assert.ts'
import type {
  AuthTable,
  Command,
  CommandResult,
  EntryChanges,
  KvMachine,
  LeaseEvent,
  MachineState,
  RowKey,
} from '../../kv/index.ts'
import { decodeCommand, oldestRevision, rowOfWrite, runsAlone } from '../../kv/index.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogReader } from '../../ports/log-store.ts'
import type { LogBatch, LogId, LogIndex, StoredMembership } from '../../raft/index.ts'
import { indexOf, logIndex } from '../../raft/index.ts'
import type { CommandEntry } from '../codec/entry.ts'
import { entriesOf } from '../codec/entry.ts'
import { Histogram, STORAGE_SECONDS } from '../../lib/histogram.ts'
import { limits } from '../../limits.ts'
import type { Faults } from '../options.ts'
import type { Rows } from './rows.ts'
import { encodeStateMeta } from '../codec/state-meta.ts'

export interface ApplierOptions {
  readonly batchBytesMax: number
}

export interface ApplierDependencies {
  readonly rows: Rows
  readonly clock: Clock
  readonly log: LogReader
  /** Told of each command that was executed: the request that waits under its origin and number may be answered. */
  readonly proposals: { onResult(entry: CommandEntry, result: CommandResult): void }
  /** Told what a command did to leases, after its result; and that entries up to `logId` are applied: for each batch, after its results. */
  readonly consequences: {
    onLeaseEvents(events: readonly LeaseEvent[]): void
    onApplied(logId: LogId): void
    /** Whether anybody wants to know what commands change. */
    readonly isWatched: boolean
    /** Told of what commands have changed, after all that. */
    onChanged(changes: readonly EntryChanges[]): void
  }
  /** Told how far entries are; null: nobody wants to know. */
  readonly times: {
    onCommitted(index: LogIndex, at: number): void
    onApplied(index: LogIndex, at: number): void
  } | null
  readonly faults: Faults
}

/** How long changes are gathered for one write to the store, unless they become many. */
const GATHER_MS = 10

interface Decoded {
  readonly entry: CommandEntry
  readonly command: Command
}

/**
 * Executes committed entries in order and answers the requests that wait for them (docs/ARCHITECTURE.md, "The way of `PUT /kv/a`", step 5).
 *
 * An answer leaves as soon as its command is executed in memory: the log is durable, and lookups see the changes at once. The batch for the
 * store follows in the background, and the next one is gathered while one is being written.
 */
export class Applier {
  readonly applySeconds = new Histogram(STORAGE_SECONDS)
  private readonly options: ApplierOptions
  private readonly deps: ApplierDependencies
  private machine: KvMachine
  private appliedId: LogId | null
  private membership: StoredMembership
  private committed: LogIndex
  /** The last entry that the state store holds, or will hold once the write in progress has ended. */
  private storedId: LogId | null
  private running = false
  private paused = false
  private stopped = false
  private idle: (() => void)[] = []
  private stored: (() => void)[] = []
  /** Called when a write to the store begins, because nothing is gathered then. */
  private roomy: (() => void)[] = []
  private workInTurn = 0
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

  get appliedIndex(): LogIndex {
    return indexOf(this.appliedId)
  }

  /** The last revision that changed the store, as of everything applied. */
  get revision(): number {
    return this.machine.revision
  }

  /** The feature level of the cluster, as of everything applied. */
  get level(): number {
    return this.machine.level
  }

  /** What the machine carries apart from the rows, as of everything applied. */
  get machineState(): MachineState {
    return this.machine.state()
  }

  /** Of the changes after this revision, the state can tell. */
  get compactedRevision(): number {
    return oldestRevision(this.machine.state())
  }

  /** The roles and tokens, as of everything applied; null: there are none. */
  get auth(): AuthTable | null {
    return this.machine.auth
  }

  get leaseCount(): number {
    return this.machine.state().leases.leases
  }

  get digest(): string {
    return String(this.machine.state().digest)
  }

  /** Entries were appended, and are on their way to the disks: what they look at is read meanwhile, if it is not known. */
  foresee(batch: LogBatch): void {
    const { rows } = this.deps
    if (!rows.isMissingRows || this.paused || this.stopped) return
    const wanted: RowKey[] = []
    for (const entry of entriesOf(batch)) {
      const row = entry.kind === 'command' ? rowOfWrite(entry.command) : null
      if (row !== null) wanted.push(row)
    }
    rows.readAhead(wanted)
  }

  /** Everything up to `index` is committed. Never decreases. */
  commitTo(index: LogIndex): void {
    if (index <= this.committed) return
    this.committed = index
    const { times, clock } = this.deps
    times?.onCommitted(index, clock.now())
    this.run()
  }

  /** Stops after the present batch and waits until the store has everything that was applied. */
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
    for (const resolve of this.roomy.splice(0)) resolve()
  }

  /** Resolves when the store has received everything that is applied now, whatever follows; returns the last entry that it then holds. */
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
    this.applyCommitted()
      .then(() => {
        this.running = false
        for (const resolve of this.idle.splice(0)) resolve()
        this.run()
      })
      .catch((error: unknown) => this.fail(error))
  }

  private async applyCommitted(): Promise<void> {
    while (!this.paused && !this.stopped && indexOf(this.appliedId) < this.committed) {
      const { log } = this.deps
      const first = logIndex(indexOf(this.appliedId) + 1)
      const bytesMax = this.options.batchBytesMax
      const batches =
        log.readCached(first, this.committed, bytesMax) ?? (await log.read(first, this.committed, bytesMax))
      assert(batches !== null && batches.length > 0, 'committed entries stay readable until they are applied')
      const startedAt = this.deps.clock.now()
      for (const batch of batches) await this.applyBatch(batch)
      this.applySeconds.record((this.deps.clock.now() - startedAt) / 1000)
      if (this.deps.rows.waitingBytes > limits.applyWaitingBytesMax) await this.settle()
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
        const command = decodeCommand(entry.command)
        // The rows that it reads are known only once everything before it has been executed.
        const isAlone = runsAlone(command)
        if (isAlone || segment.length === limits.applySegmentCommandsMax) await executeBefore(entry.index)
        segment.push({ entry, command })
        if (isAlone) await executeBefore(logIndex(entry.index + 1))
      } else if (entry.kind === 'membership') {
        await executeBefore(entry.index)
        this.membership = { logId: { leaderId, index: entry.index }, membership: entry.membership }
        await executeBefore(logIndex(entry.index + 1))
      }
    }
    await this.execute(segment, { leaderId, index: batch.last })
  }

  /** Executes `segment`, in as many steps as the size of its rows requires. After that everything up to `upTo` is applied. */
  private async execute(segment: readonly Decoded[], upTo: LogId): Promise<void> {
    let done = 0
    while (done < segment.length) {
      const rest = segment.slice(done)
      const step = rest.slice(0, await this.loadFor(rest))
      done += step.length
      const last = step.at(-1)?.entry.index
      assert(last !== undefined, 'each step executes a command at least')
      await this.loadMore(step)
      this.executeLoaded(step, done === segment.length ? upTo : { leaderId: upTo.leaderId, index: last })
      await this.pauseForOthers()
    }
    if (segment.length === 0) this.executeLoaded([], upTo)
  }

  /** Nothing else runs between loading the rows and the end of this method. */
  private executeLoaded(step: readonly Decoded[], upTo: LogId): void {
    const { rows, proposals, consequences, times, clock } = this.deps
    const changesBefore = rows.changeCount
    const { isWatched } = consequences
    const seen: EntryChanges[] = []
    for (const { entry, command } of step) {
      proposals.onResult(entry, this.machine.execute(command, entry.index, rows))
      const changes = isWatched ? this.machine.lastChanges() : null
      if (changes !== null) seen.push(changes)
      const leaseEvents = this.machine.takeLeaseEvents()
      if (leaseEvents.length > 0) consequences.onLeaseEvents(leaseEvents)
    }
    rows.release()
    this.workInTurn += step.length + rows.changeCount - changesBefore
    if (upTo.index <= indexOf(this.appliedId)) return
    this.appliedId = upTo
    times?.onApplied(upTo.index, clock.now())
    consequences.onApplied(upTo)
    if (seen.length > 0) consequences.onChanged(seen)
    this.store()
  }

  /** Loads what `commands` look at; resolves to the number of commands, at least one, for which everything is loaded. */
  private async loadFor(commands: readonly Decoded[]): Promise<number> {
    const { rows } = this.deps
    const missing = new Set<RowKey>()
    let bytes = 0
    let count = 0
    for (const { rows: wanted, ranges, bounded } of this.machine.readsOf(commands.map(({ command }) => command))) {
      for (const row of wanted) if (!rows.pin(row)) missing.add(row)
      for (const range of ranges) await rows.loadRange(range)
      if (bounded !== null) await rows.loadBounded(bounded)
      count += 1
      if (missing.size < limits.rowsLoadedAtOnceMax) continue
      bytes += await rows.load([...missing])
      missing.clear()
      if (bytes >= limits.applyLoadBytesMax) return count
    }
    if (missing.size > 0) await rows.load([...missing])
    return count
  }

  /** Loads what a command that runs alone names only once other rows are known. */
  private async loadMore([first, second]: readonly Decoded[]): Promise<void> {
    if (first === undefined || second !== undefined || !runsAlone(first.command)) return
    const { rows } = this.deps
    for (let step = 0; ; step++) {
      const more = this.machine.moreReadsOf(first.command, step, rows)
      if (more === null) return
      const missing = more.rows.filter((row) => !rows.pin(row))
      if (missing.length > 0) await rows.load(missing)
      for (const range of more.ranges) await rows.loadRange(range)
      if (more.bounded !== null) await rows.loadBounded(more.bounded)
    }
  }

  /** Keeps the event loop free for heartbeats, however much there is to apply, and keeps the gathered changes few. */
  private async pauseForOthers(): Promise<void> {
    if (this.workInTurn >= limits.applyTurnWorkMax) {
      this.workInTurn = 0
      await new Promise<void>((resolve) => this.deps.clock.nextTurn(resolve))
    }
    while (this.deps.rows.waitingRows >= limits.applyWaitingRowsMax && !this.stopped) {
      await new Promise<void>((resolve) => {
        this.roomy.push(resolve)
        this.store()
      })
    }
  }

  /**
   * Makes sure that gathered changes reach the store: after a short while, so that one write carries the changes of many batches, or at
   * once when a caller waits for it or much has gathered. One write is in progress at a time.
   */
  private store(): void {
    const { rows, clock } = this.deps
    if (rows.isWriting || this.stopped || indexOf(this.storedId) >= indexOf(this.appliedId)) return
    const isDue = rows.waitingBytes >= limits.applyGatherBytesMax || rows.waitingRows >= limits.applyGatherRowsMax
    if (this.stored.length > 0 || isDue) return this.write()
    this.cancelStore ??= clock.after(GATHER_MS, () => this.write())
  }

  private write(): void {
    this.cancelStore?.()
    this.cancelStore = null
    const { rows } = this.deps
    const applied = this.appliedId
    if (applied === null || this.stopped || rows.isWriting) return
    const meta = encodeStateMeta({ applied, membership: this.membership, machine: this.machine.state() })
    const written = rows.flush(meta)
    for (const resolve of this.roomy.splice(0)) resolve()
    written
      .then(() => {
        this.storedId = applied
        for (const resolve of this.stored.splice(0)) resolve()
        this.store()
      })
      .catch((error: unknown) => this.fail(error))
  }

  private fail(error: unknown): void {
    if (this.stopped) return
    this.stopped = true
    this.running = false
    for (const resolve of [...this.idle.splice(0), ...this.stored.splice(0), ...this.roomy.splice(0)]) resolve()
    this.deps.faults.report(error)
  }
}
