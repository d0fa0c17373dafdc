import type { Consistency } from '../../api/keys.ts'
import type {
  AnswerContext,
  Caller,
  KeyedRecord,
  KeyValueAccess,
  ReadOptions,
  Scan,
  ScanRange,
} from '../../api/services.ts'
import { assert } from '../../lib/assert.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { Command, Key, KeyRecord, ResultOf } from '../../kv/index.ts'
import {
  decodeRecord,
  encodeCommand,
  isResultOf,
  keyOfRow,
  levelOf,
  recordRange,
  recordRow,
  rowBytes,
  rowFromBytes,
} from '../../kv/index.ts'
import type { Clock } from '../../ports/clock.ts'
import type { StateRow, StateStore, StateView } from '../../ports/state-store.ts'
import { metaOf } from '../codec/state-meta.ts'
import type { Replica } from '../replica.ts'
import type { RowFetcher } from '../state/row-fetcher.ts'
import type { Serving } from './serving.ts'

export interface KeysDependencies {
  readonly replica: Replica
  readonly state: StateStore
  readonly clock: Clock
  readonly fetcher: RowFetcher
  readonly serving: Serving
  readonly id: number
}

/** Reads and writes of keys, on any node. */
export class Keys implements KeyValueAccess {
  private readonly deps: KeysDependencies

  constructor(deps: KeysDependencies) {
    this.deps = deps
  }

  async execute<Kind extends Command>(
    command: Kind,
    timeoutMs: number,
    caller: Caller | null = null,
  ): Promise<{ result: ResultOf<Kind>; context: AnswerContext }> {
    const { serving, replica, clock } = this.deps
    serving.check()
    let leftMs = timeoutMs
    const level = levelOf(command)
    if (level > replica.applier.level) {
      const startedAt = clock.now()
      await replica.features.require(level, timeoutMs, caller)
      leftMs -= clock.now() - startedAt
    }
    const result = await replica.proposals.submit(encodeCommand(command), leftMs, caller)
    assert(isResultOf(command, result), 'a command is answered in its kind')
    const context = this.context('linearizable')
    // An answer that names a revision reflects that revision; later ones may have been applied since.
    return { result, context: 'revision' in result ? { ...context, revision: result.revision } : context }
  }

  async get(key: Key, options: ReadOptions): Promise<{ record: KeyRecord | null; context: AnswerContext }> {
    const consistency = await this.reach(options)
    const row = recordRow(key)
    for (;;) {
      // Taken before the row is looked up: what is known now belongs to this revision, and so does what the store returns if the row has
      // not changed meanwhile.
      const context = this.context(consistency)
      const known = this.deps.replica.rows.peek(row)
      const { bytes, changed } =
        known === undefined ? await this.deps.fetcher.fetch(row) : { bytes: known, changed: false }
      if (!changed) return { record: bytes === null ? null : decodeRecord(bytes), context }
    }
  }

  async scan(range: ScanRange, options: ReadOptions): Promise<Scan> {
    const consistency = await this.reach(options)
    await this.deps.replica.applier.settle()
    const view = await this.deps.state.view()
    const meta = await metaOf(view)
    const context = { ...this.context(consistency), revision: meta?.machine.revision ?? 0 }
    return new RangeScan(view, range, context)
  }

  private context(consistency: Consistency): AnswerContext {
    const { replica } = this.deps
    return {
      revision: replica.applier.revision,
      servedBy: this.deps.id,
      leader: replica.raft.leader,
      consistency,
    }
  }

  /** Waits until the local state may be read as asked. Returns the consistency that is really given. */
  private async reach(options: ReadOptions): Promise<Consistency> {
    this.deps.serving.check()
    const startedAt = this.deps.clock.now()
    const given = await this.confirm(options)
    const { minRevision } = options
    if (minRevision !== null)
      await this.waitForRevision(
        minRevision,
        options.timeoutMs - (this.deps.clock.now() - startedAt),
        options.caller ?? null,
      )
    return given
  }

  private async confirm(options: ReadOptions): Promise<Consistency> {
    const { replica, clock } = this.deps
    if (options.consistency === 'stale') {
      if (options.maxStalenessMs !== null) await this.checkStaleness(options.maxStalenessMs, options)
      return 'stale'
    }
    if (options.consistency === 'lease') {
      const uncountedMs = replica.suspension.look()
      const index = replica.raft.leaseRead(clock.now(), uncountedMs)
      if (index !== null && index <= replica.applier.appliedIndex) return 'lease'
    }
    await replica.reads.barrier(options.timeoutMs, options.caller)
    return 'linearizable'
  }

  private async checkStaleness(maxMs: number, options: ReadOptions): Promise<void> {
    const ageMs = await this.age(options.timeoutMs, options.caller ?? null)
    if (ageMs <= maxMs) return
    const known =
      ageMs === Infinity
        ? 'cannot tell how old its state is, since it has not heard from a leader'
        : `has a state that may be ${Math.round(ageMs)} ms old, older than maxStaleness allows`
    throw new RequestError('not-ready', `this node ${known}; ask another node, or raise maxStaleness`)
  }

  /** The most time since the state applied here was known to hold every acknowledged write; Infinity when that is not known. */
  private async age(timeoutMs: number, caller: Caller | null): Promise<number> {
    const { replica, clock } = this.deps
    const freshAt = await this.freshAt(timeoutMs, caller)
    const uncountedMs = replica.suspension.look()
    if (freshAt === null || freshAt < replica.raft.view().wokenAt) return Infinity
    return clock.now() - freshAt + uncountedMs
  }

  /** That moment, by this node's clock; null when it is not known. */
  private async freshAt(timeoutMs: number, caller: Caller | null): Promise<number | null> {
    const { replica } = this.deps
    const view = replica.raft.view()
    // A new leader does not know yet what is committed.
    if (view.state !== 'leader' || !view.established) return replica.freshness.freshAt
    const isApplied = await replica.waits.applications.reach(view.committed, timeoutMs, caller)
    return isApplied ? view.quorumAckedAt : replica.freshness.freshAt
  }

  private async waitForRevision(revision: number, timeoutMs: number, caller: Caller | null): Promise<void> {
    const { replica } = this.deps
    const reached = await replica.waits.revisions.reach(revision, timeoutMs, caller)
    if (reached) return
    const current = replica.applier.revision
    throw new RequestError(
      'future-revision',
      `revision ${revision} was not reached in time; the store is at ${current}`,
      {
        currentRevision: current,
      },
    )
  }
}

/** A walk over a range of one consistent view. */
class RangeScan implements Scan {
  readonly context: AnswerContext
  private readonly view: StateView
  private readonly reverse: boolean
  private start: Uint8Array
  private end: Uint8Array | null
  /** A row that was read already, to know whether anything follows the last page. */
  private ahead: StateRow | null = null
  private done: boolean

  constructor(view: StateView, range: ScanRange, context: AnswerContext) {
    this.view = view
    this.context = context
    this.reverse = range.reverse
    const bounds = recordRange(range.start, range.end)
    this.start = rowBytes(bounds.start)
    this.end = bounds.end === null ? null : rowBytes(bounds.end)
    if (range.after !== null) this.continueAfter(rowBytes(recordRow(range.after)))
    this.done = this.end !== null && Buffer.compare(this.start, this.end) >= 0
  }

  async next(
    limit: number,
    bytesMax: number,
  ): Promise<{ readonly items: readonly KeyedRecord[]; readonly done: boolean }> {
    const rows: StateRow[] = []
    let bytes = 0
    while (rows.length < limit && (rows.length === 0 || bytes < bytesMax) && !this.done) {
      const read = await this.read(limit - rows.length, bytesMax - bytes)
      for (const row of read) {
        const size = row.key.length + row.value.length
        // A scan returns at least one row, even if that row does not fit. Then it is the last row that the scan returned.
        if (rows.length > 0 && bytes + size > bytesMax) {
          this.ahead = row
          return { items: rows.map(itemOf), done: false }
        }
        rows.push(row)
        bytes += size
      }
      this.done = read.length === 0
    }
    // The row after the page shows whether anything is left after it.
    if (!this.done) this.ahead = (await this.read(1, 1))[0] ?? null
    this.done = this.ahead === null
    return { items: rows.map(itemOf), done: this.done }
  }

  async count(limit: number): Promise<{ readonly count: number; readonly done: boolean }> {
    if (this.done) return { count: 0, done: true }
    const keys = await this.view.keys({
      start: this.start,
      end: this.end,
      reverse: this.reverse,
      limit,
      bytesMax: limits.countBytesMax,
    })
    const last = keys.at(-1)
    this.done = last === undefined
    if (last !== undefined) this.continueAfter(last)
    return { count: keys.length, done: this.done }
  }

  close(): Promise<void> {
    return this.view.close()
  }

  /** The next rows. No row is read twice. */
  private async read(limit: number, bytesMax: number): Promise<readonly StateRow[]> {
    const { ahead, start, end, reverse } = this
    if (ahead !== null) {
      this.ahead = null
      return [ahead]
    }
    const rows = await this.view.scan({ start, end, reverse, limit, bytesMax })
    const last = rows.at(-1)
    if (last !== undefined) this.continueAfter(last.key)
    return rows
  }

  private continueAfter(row: Uint8Array): void {
    if (this.reverse) this.end = row
    else this.start = Buffer.concat([row, Buffer.from([0])])
  }
}

function itemOf({ key, value }: StateRow): KeyedRecord {
  return { key: keyOfRow(rowFromBytes(key)), record: decodeRecord(value) }
}
