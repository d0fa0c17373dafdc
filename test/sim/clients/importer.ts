import { Import } from '../../../src/http/ranges/import.ts'
import { ImportWrites } from '../../../src/http/ranges/import-writes.ts'
import type { Caller } from '../../../src/api/services.ts'
import { RequestError } from '../../../src/lib/errors.ts'
import type { Key } from '../../../src/kv/index.ts'
import type { NodeServices } from '../../../src/node/node.ts'
import { callNode, isAmbiguous, type CallOutcome } from './call.ts'
import { ChunkWrites } from './chunk-writes.ts'
import { admit, LeavingCaller, Sender } from './front.ts'
import type { Secrets } from './keyring.ts'
import type { Operation } from '../history/operation.ts'
import {
  describeEnd,
  describeImport,
  type GivenRecord,
  type ImportEnd,
  type ImportSession,
} from '../history/import-session.ts'
import type { Machine } from '../machines/machine.ts'
import type { Draw } from '../world/draw.ts'
import type { SimulationOptions } from '../world/options.ts'
import type { SimProcess } from '../world/process.ts'
import type { World } from '../world/world.ts'

export interface ImporterDependencies {
  readonly world: World
  readonly machines: readonly Machine[]
  readonly history: Operation[]
  readonly imports: ImportSession[]
  /** Null: there are no tokens in this run. */
  readonly secrets: Secrets | null
}

/** A node that has taken the request. */
interface Taker {
  readonly machine: Machine
  readonly process: SimProcess
  readonly services: NodeServices
}

/** One attempt at an import. */
interface Asked {
  readonly session: ImportSession
  readonly writes: ChunkWrites
  readonly secret: string | null | undefined
  /** A line that is none is in front of this record; null: all lines are good. */
  readonly brokenAt: number | null
}

const NAMED_SHARE = 0.8
/** Share of streams that hold a line which is none at first. */
const BROKEN_SHARE = 0.15
/** Share of streams that are sent once more when they are in. */
const REPEAT_SHARE = 0.2
const LEASED_SHARE = 0.1
/** An importer rests for so many times as long as another client, and for this long at least. */
const PAUSE_SHARE = 8
const PAUSE_MS_MIN = 200
/** How many times as long as for one change its sender waits for an import. */
const STAY_SHARE = 3
const VALUE_BYTES_MAX = 1_000
const BROKEN_LINE = '{"key":\n'

/**
 * Streams records to any node, as fast as it likes, while others write and read the same keys. It retries under one idempotency key until all
 * records are in, also with a line that was wrong before, and now and then once more after that.
 */
export class Importer {
  stopped = false
  private readonly id: number
  private readonly options: SimulationOptions
  private readonly deps: ImporterDependencies
  private readonly random: Draw
  private begun = 0
  private written = 0

  constructor(id: number, options: SimulationOptions, dependencies: ImporterDependencies) {
    this.id = id
    this.options = options
    this.deps = dependencies
    this.random = dependencies.world.random.fork()
  }

  async run(): Promise<void> {
    const { world } = this.deps
    const pauseMs = Math.max(PAUSE_MS_MIN, this.options.thinkMs * PAUSE_SHARE)
    while (!this.stopped) {
      await world.sleep(this.random.exponential(pauseMs))
      if (!this.stopped) await this.importOnce()
    }
  }

  private async importOnce(): Promise<void> {
    const { random, options } = this
    const { world, history, imports } = this.deps
    const name = random.chance(NAMED_SHARE) ? `i${this.id}-${this.begun}` : null
    this.begun += 1
    const session: ImportSession = { client: this.id, name, records: this.drawRecords(), told: [] }
    imports.push(session)
    const secret = this.deps.secrets?.draw()
    const { electionTimeoutMsMax } = options.node
    const writes = new ChunkWrites(world, { client: this.id, history, secret, electionTimeoutMsMax })
    if (world.isTracing) world.note(`c${this.id}`, describeImport(session))
    const isBroken = name !== null && random.chance(BROKEN_SHARE)
    let brokenAt = isBroken ? random.integer(0, session.records.length) : null
    let repeatsLeft = name !== null && random.chance(REPEAT_SHARE) ? 1 : 0
    const deadline = world.now() + 2 * STAY_SHARE * options.timeoutMs
    for (;;) {
      const outcome = await this.attempt({ session, writes, secret, brokenAt })
      const isDone = outcome.kind === 'answered'
      if (isDone) repeatsLeft -= 1
      if (outcome.kind === 'failed' && secret !== undefined) this.deps.secrets?.refused(secret, outcome.code)
      const mends = brokenAt !== null && outcome.kind === 'failed' && outcome.code === 'invalid-request'
      if (mends) brokenAt = null
      const mayRetry = isDone ? repeatsLeft >= 0 : mends || isAmbiguous(outcome) || isRetryable(outcome)
      if (name === null || this.stopped || world.now() >= deadline || !mayRetry) return
      world.census.count('import-retry')
      await world.sleep(random.exponential(20))
    }
  }

  private attempt(asked: Asked): Promise<CallOutcome<ImportEnd>> {
    const { random, options } = this
    const { world, machines } = this.deps
    const { session } = asked
    const machine = random.pick(machines)
    const stayMs = STAY_SHARE * options.timeoutMs + 100
    const lostProbability = options.faults.has('loss') ? 0.01 : 0
    const call = { delayMs: options.delayMs, timeoutMs: stayMs, lostProbability }
    const pieces = this.drawPieces(session.records, asked.brokenAt)
    const pauseMs = random.pick([0, 0, options.delayMs, 10])
    return callNode(world, machine, call, async (services, process) => {
      const caller = new LeavingCaller(world, stayMs)
      const rest = (): Promise<void> => pauseOn(process)(random.exponential(pauseMs))
      const sender = new PacedSender(pieces, caller, pauseMs === 0 ? NO_REST : rest)
      const tell = (end: ImportEnd): void => {
        if (process.alive) session.told.push({ clusterId: machine.clusterId, end })
        if (world.isTracing) world.note(`c${this.id}`, `${machine.name} says ${describeEnd(end)}`)
      }
      try {
        const end = await this.stream(sender, asked, { machine, process, services })
        tell(end)
        return end
      } catch (error) {
        const end = endOf(error)
        if (end !== null) tell(end)
        throw error
      }
    })
  }

  /** As `POST /kv` does. */
  private async stream(
    sender: PacedSender,
    { session: { name }, writes, secret }: Asked,
    { machine, process, services }: Taker,
  ): Promise<ImportEnd> {
    const { caller } = sender
    const by = secret === undefined ? null : await admit(services, secret, null, caller)
    const asker = { headers: name === null ? {} : { 'idempotency-key': name }, access: by ?? NOBODY }
    const sentBy = by === null ? caller : new Sender(caller, by)
    const options = { asker, timeoutMs: this.options.timeoutMs, caller: sentBy }
    const keys = writes.through({ machine, process, keys: services.keys })
    const time = { now: () => process.clock.now(), pause: pauseOn(process) }
    const changes = new ImportWrites(keys, options, time, () => sender.stop())
    machine.plantImport(changes)
    const { imported, revision, leasesDropped } = await new Import(VALUE_BYTES_MAX, sender, changes).run()
    return { type: 'done', imported, revision, leasesDropped }
  }

  /** Runs of keys in their order, as a listing has them, and several runs, so that keys come again. */
  private drawRecords(): GivenRecord[] {
    const { random, options } = this
    const count = random.integer(1, 3 * options.keys + 2)
    const every = Array.from({ length: options.keys }, (_, at) => `k${at}` as Key)
    const keys: Key[] = []
    while (keys.length < count) keys.push(...random.sample(every, random.integer(1, every.length + 1)).sort())
    return keys.slice(0, count).map((key) => ({ key, value: this.drawValue(), isLeased: random.chance(LEASED_SHARE) }))
  }

  private drawValue(): Uint8Array {
    const padding = this.random.chance(0.05) ? '+'.repeat(this.random.integer(1, 300)) : ''
    this.written += 1
    return Buffer.from(`i${this.id}.${this.written}${padding}`)
  }

  /** The stream, cut anywhere. `brokenAt`: a line that is none is in front of this record. */
  private drawPieces(records: readonly GivenRecord[], brokenAt: number | null): Buffer[] {
    const { random } = this
    const lines = records.map((record, at) => `${at === brokenAt ? BROKEN_LINE : ''}${lineOf(record)}`)
    const stream = Buffer.from(lines.join(''))
    const pieces: Buffer[] = []
    const bytes = random.pick([20, 100, 10_000])
    for (let at = 0, end = 0; at < stream.length; at = end) {
      end = at + random.integer(1, 2 * bytes)
      pieces.push(stream.subarray(at, end))
    }
    return pieces
  }
}

const NOBODY = { token: null }
const NO_REST = (): Promise<void> => Promise.resolve()

function pauseOn({ clock }: SimProcess): (ms: number) => Promise<void> {
  return (ms) => new Promise((resolve) => clock.after(ms, resolve))
}

/** The sender of a stream, which takes its time. */
class PacedSender {
  readonly caller: Caller
  private pieces: Buffer[]
  private readonly rest: () => Promise<void>

  constructor(pieces: readonly Buffer[], caller: Caller, rest: () => Promise<void>) {
    this.pieces = [...pieces]
    this.caller = caller
    this.rest = rest
  }

  async next(): Promise<Buffer | null> {
    await this.rest()
    if (this.caller.isGone && this.pieces.length > 0) throw new RequestError('invalid-request', 'body is incomplete')
    return this.pieces.shift() ?? null
  }

  stop(): void {
    this.pieces = []
  }
}

function lineOf({ key, value, isLeased }: GivenRecord): string {
  const text = Buffer.from(value).toString()
  return `${JSON.stringify({ key, value: text, ...(isLeased ? { lease: 1 } : {}) })}\n`
}

function endOf(error: unknown): ImportEnd | null {
  if (!(error instanceof RequestError)) return null
  const { code, facts } = error
  const [imported, line, nextLine] = [facts['imported'], facts['line'], facts['nextLine']]
  // It was refused at the door.
  if (typeof imported !== 'number' || typeof line !== 'number' || typeof nextLine !== 'number') return null
  const revision = typeof facts['revision'] === 'number' ? facts['revision'] : null
  return { type: 'ended', code, imported, line, nextLine, revision }
}

function isRetryable(outcome: CallOutcome<unknown>): boolean {
  return outcome.kind === 'refused' || (outcome.kind === 'failed' && outcome.retryable)
}
