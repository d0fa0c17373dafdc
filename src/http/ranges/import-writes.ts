import type { AnswerContext, Caller, KeyValueAccess } from '../../api/services.ts'
import type { Key, PutCommand, TransactionCommand } from '../../kv/index.ts'
import { assert } from '../../lib/assert.ts'
import { failures, RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { refusalOf, taggedStep, type Asker } from '../keys/writes.ts'
import type { ImportChunk } from './import-chunks.ts'
import type { ImportRecord } from './import-record.ts'

export interface ImportWritesOptions {
  /** Has the idempotency key, and the token. */
  readonly asker: Asker
  /** How long the outcome of each change is waited for. */
  readonly timeoutMs: number
  readonly caller: Caller | undefined
}

/** Monotonic milliseconds, and a pause. */
export interface ImportTime {
  now(): number
  pause(ms: number): Promise<unknown>
}

/** A chunk whose outcome is not known yet, or that others wait for. */
interface Flight {
  readonly chunk: ImportChunk
  /** How many of its records, from the first on, are in. */
  written: number
  hasEnded: boolean
  failure: Error | null
}

/** Names of steps that each chunk has for itself: of the whole, its halves, their halves. Twice as many as it has records. */
const STEPS_PER_CHUNK = 2 * limits.importChunkRecordsMax
/** The pause before a change is proposed again that had no room in the queues of the cluster. */
const OVERLOAD_PAUSE_MS = 20

/**
 * The changes of an import. Several are on their way at once, and none of them writes a key of another: their order among each other
 * changes nothing.
 */
export class ImportWrites {
  /** The revision of the last change, and what the answer to it said; 0 and null before the first. */
  revision = 0
  context: AnswerContext | null = null
  private readonly keys: Pick<KeyValueAccess, 'execute' | 'level'>
  private readonly options: ImportWritesOptions
  private readonly time: ImportTime
  private readonly onFailure: () => void
  /** In the order of the stream. Those at the front that are written whole are gone from it. */
  private readonly flights: Flight[] = []
  /** The keys of those that have not ended. */
  private readonly openKeys = new Set<Key>()
  private openBytes = 0
  private openCount = 0
  private chunks = 0
  private recordsWritten = 0
  private wake: () => void = () => {}

  /** `onFailure` is told when no further chunk is wanted. */
  constructor(
    keys: Pick<KeyValueAccess, 'execute' | 'level'>,
    options: ImportWritesOptions,
    time: ImportTime,
    onFailure: () => void,
  ) {
    this.keys = keys
    this.options = options
    this.time = time
    this.onFailure = onFailure
  }

  /** How many records, from the first of the stream on, are surely in. */
  get imported(): number {
    return this.recordsWritten + (this.flights[0]?.written ?? 0)
  }

  /** The line of the first record that was given to `begin` and is not surely in; null when there is none. */
  get nextLine(): number | null {
    const [first] = this.flights
    return first?.chunk.records[first.written]?.line ?? null
  }

  get hasFailed(): boolean {
    return this.flights.some(({ failure }) => failure !== null)
  }

  /** Begins to write `chunk` as soon as there is room. Returns false, and does nothing, after a failure. */
  async begin(chunk: ImportChunk): Promise<boolean> {
    while (!this.hasFailed && !this.hasRoomFor(chunk)) await this.change()
    if (this.hasFailed) return false
    const flight: Flight = { chunk, written: 0, hasEnded: false, failure: null }
    this.flights.push(flight)
    this.onBegun(chunk)
    const firstStep = this.chunks * STEPS_PER_CHUNK
    this.chunks += 1
    void this.carryOut(flight, firstStep)
    return true
  }

  /** Resolves when every outcome is known, or waited for no longer. */
  async settle(): Promise<void> {
    while (this.openCount > 0) await this.change()
  }

  /** Why not everything is written, after `settle`; null when it is. An unknown outcome counts more than a refusal before it. */
  failure(): Error | null {
    const failed = this.flights.flatMap(({ failure }) => (failure === null ? [] : [failure]))
    const [first = null] = failed
    const worst = failed.find((error) => !(error instanceof RequestError)) ?? failed.find(isAmbiguous) ?? first
    const behind = this.flights.slice(1).reduce((count, { chunk }) => count + chunk.records.length, 0)
    if (!(worst instanceof RequestError) || behind === 0) return worst
    const note = `of the ${behind} records that were on their way behind it, some may be in too`
    return new RequestError(worst.code, `${worst.message}; ${note}`, worst.facts, worst.reflects)
  }

  private hasRoomFor({ keys, bytes }: ImportChunk): boolean {
    if (this.openCount === 0) return true
    if (this.openCount >= limits.importChunksInFlightMax) return false
    if (this.openBytes + bytes > limits.importBytesInFlightMax) return false
    for (const key of keys) if (this.openKeys.has(key)) return false
    return true
  }

  private onBegun({ keys, bytes }: ImportChunk): void {
    this.openCount += 1
    this.openBytes += bytes
    for (const key of keys) this.openKeys.add(key)
  }

  private onEnded({ keys, bytes }: ImportChunk): void {
    this.openCount -= 1
    this.openBytes -= bytes
    for (const key of keys) this.openKeys.delete(key)
  }

  private async change(): Promise<void> {
    await new Promise<void>((resolve) => (this.wake = resolve))
  }

  private async carryOut(flight: Flight, firstStep: number): Promise<void> {
    try {
      await this.write(flight, flight.chunk.records, firstStep, 1)
    } catch (error) {
      flight.failure = error instanceof Error ? error : new Error('a change of an import failed', { cause: error })
      this.onFailure()
    }
    flight.hasEnded = true
    this.onEnded(flight.chunk)
    for (let [first] = this.flights; first?.hasEnded === true && first.failure === null; [first] = this.flights) {
      this.recordsWritten += first.written
      this.flights.shift()
    }
    this.wake()
  }

  /**
   * Writes some records of a chunk as one change. When the records that they replace have too many bytes for one change, each half is written
   * for itself. `part` numbers the parts of a chunk: 1 is the whole, 2 and 3 its halves, 4 to 7 their halves.
   */
  private async write(
    flight: Flight,
    records: readonly ImportRecord[],
    firstStep: number,
    part: number,
  ): Promise<void> {
    const command = taggedStep(commandFor(records), this.options.asker, this.keys, firstStep + part - 1)
    const { result, context } = await this.execute(command)
    switch (result.type) {
      case 'put':
      case 'transaction':
        flight.written += records.length
        if (result.revision >= this.revision) this.context = context
        this.revision = Math.max(this.revision, result.revision)
        return
      case 'transaction-too-large': {
        const middle = Math.ceil(records.length / 2)
        await this.write(flight, records.slice(0, middle), firstStep, 2 * part)
        await this.write(flight, records.slice(middle), firstStep, 2 * part + 1)
        return
      }
      case 'key-reused':
        throw refusalOf(result)
      case 'condition-failed':
      case 'range-too-large':
      case 'lease-not-found':
      case 'too-many-leases':
      case 'too-many-attached-keys':
        assert(false, 'a put without a condition and a lease is not refused')
    }
  }

  /** When the cluster has no room for more writes, this waits for some, as long as the time allows. */
  private async execute<Kind extends PutCommand | TransactionCommand>(command: Kind) {
    const { time } = this
    const deadline = time.now() + this.options.timeoutMs
    for (;;) {
      try {
        return await this.keys.execute(command, Math.max(1, deadline - time.now()), this.options.caller)
      } catch (error) {
        const isFull = error instanceof RequestError && error.code === 'overloaded'
        if (!isFull || time.now() + OVERLOAD_PAUSE_MS >= deadline || this.options.caller?.isGone === true) throw error
      }
      await time.pause(OVERLOAD_PAUSE_MS)
    }
  }
}

function isAmbiguous(error: Error): boolean {
  return error instanceof RequestError && failures[error.code].ambiguous
}

/** A single record needs no transaction. So it can replace one of any size, and it does not keep other commands waiting. */
function commandFor(records: readonly ImportRecord[]): PutCommand | TransactionCommand {
  const [only] = records
  if (only !== undefined && records.length === 1) {
    const { key, value } = only
    return { type: 'put', key, value, condition: null, wantsPrevious: false, idempotency: null }
  }
  const success = records.map(({ key, value }) => ({ type: 'put', key, value, wantsPrevious: false }) as const)
  return { type: 'transaction', compares: [], success, failure: [], idempotency: null }
}
