import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command, Key } from '../src/kv/index.ts'
import { encodeCommand, KvMachine } from '../src/kv/index.ts'
import { SeededRandom } from '../src/lib/random.ts'
import { limits } from '../src/limits.ts'
import { commandEntryBytes, commandEntryInto } from '../src/node/codec/entry.ts'
import { Applier } from '../src/node/state/applier.ts'
import { RowCache } from '../src/node/state/row-cache.ts'
import { Rows } from '../src/node/state/rows.ts'
import type { LogBatch } from '../src/raft/index.ts'
import { indexOf, logIndex, NO_MEMBERSHIP, nodeId, term } from '../src/raft/index.ts'
import { RocksStateStore } from '../src/storage/rocksdb/rocks-state-store.ts'
import { systemClock } from '../src/system-clock.ts'
import type { Bench } from './lib/bench.ts'
import type { Figure } from './lib/report.ts'
import { summarize } from './lib/statistics.ts'

/** Executing committed writes on a real disk, as a follower does: the processor time of the whole process for each of them. */
export interface ApplyOptions {
  readonly writes: number
  readonly keys: number
  readonly valueBytes: number
  readonly repeat: number
  readonly orders: readonly Order[]
  readonly histories: readonly (keyof typeof RETENTIONS)[]
}

/** How many changes history keeps. `bounded`: as much as is written is removed at the same time. */
const RETENTIONS = { off: 0, on: 1_000_000, bounded: 20_000 } as const
type Order = 'random' | 'cyclic'

const NORMAL: ApplyOptions = {
  writes: 50_000,
  keys: 100_000,
  valueBytes: 256,
  repeat: 5,
  orders: ['random', 'cyclic'],
  histories: ['off', 'on', 'bounded'],
}

/** Writes in one batch of the log: about what 64 connections give. */
const PER_BATCH = 32
const LEADER = { term: term(1), nodeId: nodeId(1) }

interface Case {
  readonly history: keyof typeof RETENTIONS
  readonly order: Order
}

/** One node's state, and a log of one batch that is made anew each time. */
class Subject {
  private readonly directory = mkdtempSync(join(tmpdir(), 'quorate-apply-'))
  private readonly store = new RocksStateStore({ directory: join(this.directory, 'state') })
  private readonly random = new SeededRandom(1)
  private readonly options: ApplyOptions
  private readonly order: Case['order']
  private readonly applier: Applier
  private batch: LogBatch | null = null
  private next = 0
  private onDone: () => void = () => undefined

  constructor(options: ApplyOptions, order: Case['order']) {
    this.options = options
    this.order = order
    const read = (): readonly LogBatch[] => (this.batch === null ? [] : [this.batch])
    this.applier = new Applier(
      { batchBytesMax: limits.appendBytesMax },
      {
        rows: new Rows(this.store, new RowCache(limits.recordCacheBytesMax, [1, 2])),
        clock: systemClock,
        log: { readCached: read, read: async () => read() },
        proposals: { onResult: () => undefined },
        consequences: {
          onLeaseEvents: () => undefined,
          onApplied: ({ index }) => {
            if (index === this.batch?.last) this.onDone()
          },
          isWatched: false,
          onChanged: () => undefined,
        },
        times: null,
        faults: {
          report: (error) => {
            throw error
          },
        },
      },
      {
        machine: new KvMachine(limits, null),
        applied: { leaderId: LEADER, index: logIndex(0) },
        membership: NO_MEMBERSHIP,
      },
    )
  }

  async open({ history }: Case): Promise<void> {
    await this.store.open()
    const retention = { revisions: RETENTIONS[history], ageMs: 24 * 3_600_000, bytes: 1024 ** 3 }
    await this.execute([{ type: 'raise-level', level: 1, version: '', retention, idempotency: null }])
  }

  async write(count: number): Promise<void> {
    for (let done = 0; done < count; done += PER_BATCH) {
      await this.execute(Array.from({ length: PER_BATCH }, () => this.put()))
      const { history } = this.applier.machineState
      const kept = history?.retention.revisions ?? 0
      // As the historian of the leader does it.
      if (kept > 0 && (history?.changes ?? 0) > kept * (1 + 1 / 16))
        await this.execute([{ type: 'compaction', revision: null, idempotency: null }])
    }
    await this.applier.settle()
  }

  async close(): Promise<void> {
    await this.applier.settle()
    this.applier.stop()
    await this.store.close()
    rmSync(this.directory, { recursive: true, force: true })
  }

  private put(): Command {
    const { keys, valueBytes } = this.options
    const number = this.order === 'random' ? this.random.integer(0, keys) : this.next++ % keys
    const value = Buffer.alloc(valueBytes, number & 0xff)
    return { type: 'put', key: `key-${number}` as Key, value, condition: null, wantsPrevious: false, idempotency: null }
  }

  private async execute(commands: readonly Command[]): Promise<void> {
    const first = indexOf(this.applier.applied) + 1
    const encoded = commands.map(encodeCommand)
    const body = Buffer.allocUnsafeSlow(encoded.reduce((sum, { length }) => sum + commandEntryBytes(length), 0))
    let at = 0
    for (const command of encoded) at = commandEntryInto(body, at, { node: nodeId(1), nonce: 1 }, 0, command)
    const last = logIndex(first + encoded.length - 1)
    this.batch = { leaderId: LEADER, first: logIndex(first), last, body, membershipCount: 0 }
    const done = new Promise<void>((resolve) => (this.onDone = resolve))
    this.applier.commitTo(last)
    await done
  }
}

async function measure(options: ApplyOptions, { history, order }: Case): Promise<Figure> {
  const subject = new Subject(options, order)
  await subject.open({ history, order })
  // Every key exists then, and history is as full as it gets.
  await subject.write(2 * options.keys)
  const runs: Record<'cpuMicrosPerWrite' | 'writesPerSecond', number>[] = []
  for (let run = 0; run < options.repeat; run++) {
    const startedAt = performance.now()
    const usage = process.cpuUsage()
    await subject.write(options.writes)
    const { user, system } = process.cpuUsage(usage)
    const seconds = (performance.now() - startedAt) / 1000
    runs.push({ cpuMicrosPerWrite: (user + system) / options.writes, writesPerSecond: options.writes / seconds })
  }
  await subject.close()
  const { keys, valueBytes, repeat } = options
  return {
    bench: 'apply',
    settings: { history, order, keys, valueBytes, runs: repeat },
    values: summarize(runs, 'cpuMicrosPerWrite'),
  }
}

export const apply: Bench<ApplyOptions> = {
  sizes: {
    smoke: { ...NORMAL, writes: 256, keys: 256, repeat: 1, orders: ['random'] },
    quick: { ...NORMAL, repeat: 1 },
    normal: NORMAL,
    full: NORMAL,
  },
  async run(options) {
    const figures: Figure[] = []
    for (const order of options.orders)
      for (const history of options.histories) figures.push(await measure(options, { history, order }))
    return figures
  },
}
