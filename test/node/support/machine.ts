import { createHash } from 'node:crypto'
import { SeededRandom } from '../../../src/lib/random.ts'
import { SlowLog, type SlowLogDependencies } from '../../../src/lib/slow-log.ts'
import { limits } from '../../../src/limits.ts'
import { openNode, type Node } from '../../../src/node/node.ts'
import type { DiskUsage, Logger, NodeOptions, TakenBackup } from '../../../src/node/options.ts'
import type { AutomationPlan, FormationMemory } from '../../../src/ports/automation.ts'
import { NOTHING_REMEMBERED } from '../../../src/ports/automation.ts'
import type { Clock } from '../../../src/ports/clock.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import type { LogIndex, NodeAddresses, NodeId, RaftView } from '../../../src/raft/index.ts'
import { Raft, nodeId } from '../../../src/raft/index.ts'
import { Client } from './client.ts'
import { Life } from './life.ts'
import { DiskLogStore, LogDisk } from './log-disk.ts'
import { DiskStateStore, StateDisk } from './state-disk.ts'
import type { Wire } from './wire.ts'

export interface MachineDependencies {
  readonly clock: Clock
  readonly join: (id: NodeId, address: string, life: Life) => Wire
  readonly logger: (id: number) => Logger
  readonly onFault: (id: number, error: Error) => void
  readonly options: Partial<NodeOptions>
}

interface Running {
  readonly node: Node
  readonly life: Life
  readonly transport: Wire
  readonly client: Client
}

export function addressesOf(id: number): NodeAddresses {
  return { raft: `10.0.0.${id}:7100`, api: `http://10.0.0.${id}:7000` }
}

function slowLog(thresholdMs: number, dependencies: SlowLogDependencies): SlowLog {
  return new SlowLog({ thresholdMs, linesMax: 100, intervalMs: 1_000 }, dependencies)
}

/** One machine with its disk, on which processes of one node live one after the other. */
export class Machine {
  readonly id: NodeId
  readonly log = new LogDisk()
  readonly state = new StateDisk()
  readonly peers = new Map<NodeId, string>()
  /** The pledge that it has given, and the cluster that it has met. */
  memory: FormationMemory = NOTHING_REMEMBERED
  /** How often processes have written that. */
  memoryWrites = 0
  /** Replaces options of the processes started from now on. */
  options: Partial<NodeOptions>
  /** Where the processes started from now on listen, and what they say of themselves. */
  addresses: NodeAddresses
  /** The automation of the processes that are started from now on. */
  automation: AutomationPlan | null = null
  /** The last whole backup that was taken from it. */
  backup: TakenBackup | null = null
  /** Reading and writing it fails with this. */
  backupFailure: Error | null = null
  /** The free space on its disk. */
  freeBytes = Infinity
  totalBytes = 1024 ** 4
  /** Replaces both of them; null: they are told. */
  diskUsage: (() => Promise<DiskUsage>) | null = null
  /** What takes this long on the processes started from now on is slow; null: nobody wants to know. */
  slowMs: number | null = null
  /** Whose core decides in the processes started from now on. */
  raft: typeof Raft = Raft
  private readonly deps: MachineDependencies
  private running: Running | null = null
  private lives = 0
  private wipes = 0

  constructor(id: number, deps: MachineDependencies) {
    this.id = nodeId(id)
    this.deps = deps
    this.options = deps.options
    this.addresses = addressesOf(id)
  }

  get isUp(): boolean {
    return this.running !== null
  }

  get incarnation(): string {
    return `machine-${this.id}-${this.wipes}`
  }

  get node(): Node {
    return this.process().node
  }

  get client(): Client {
    return this.process().client
  }

  /** The core's picture of itself. */
  get view(): RaftView {
    return this.node.replica.raft.view()
  }

  get applied(): LogIndex {
    return this.node.replica.applier.appliedIndex
  }

  /** Sends what some process on this machine may have sent: a copy, or a message that was long on its way. Nothing interferes. */
  send(message: PeerMessage): void {
    this.process().transport.sendAsIs(message)
  }

  async start(): Promise<Client> {
    if (this.running !== null) throw new Error(`node ${this.id} runs already`)
    this.lives += 1
    const { deps, id } = this
    const life = new Life(deps.clock)
    const transport = deps.join(id, this.addresses.raft, life)
    const logger = deps.logger(id)
    const node = await openNode(this.nodeOptions(), {
      log: new DiskLogStore(this.log, life),
      state: new DiskStateStore(this.state, life),
      transport,
      clock: life.clock,
      // A process draws other numbers than the one before it.
      random: new SeededRandom(id * 10_007 + this.lives),
      peers: {
        load: () => Promise.resolve(new Map(this.peers)),
        remember: async (peer, incarnation) => void this.peers.set(peer, incarnation),
        forget: async (peer) => void this.peers.delete(peer),
      },
      formation: {
        load: () => Promise.resolve(this.memory),
        store: async (memory) => {
          this.memory = memory
          this.memoryWrites += 1
        },
      },
      backups: {
        load: async () => this.rememberedBackup(),
        store: async (backup) => {
          this.rememberedBackup()
          this.backup = backup
        },
      },
      logger,
      audit: { tell: (audit) => logger.info({ audit }, 'audit') },
      slow: this.slowMs === null ? null : slowLog(this.slowMs, { clock: life.clock, logger }),
      hash: (text) => createHash('sha256').update(text).digest('hex'),
      hashKey: [id, this.lives],
      onFault: (error) => deps.onFault(id, error),
      automation: this.automation,
      diskUsage: () => this.measure(),
      createRaft: (...parts) => new this.raft(...parts),
    }).catch(async (error: unknown) => {
      await transport.stop()
      throw error
    })
    const client = new Client(node, life)
    this.running = { node, life, transport, client }
    return client
  }

  private async measure(): Promise<DiskUsage> {
    return (await this.diskUsage?.()) ?? { totalBytes: this.totalBytes, freeBytes: this.freeBytes }
  }

  private rememberedBackup(): TakenBackup | null {
    if (this.backupFailure !== null) throw this.backupFailure
    return this.backup
  }

  /** As on SIGSTOP. The machine, with its connections, goes on. */
  pause(): void {
    this.process().life.pause()
  }

  /** As on SIGCONT. */
  resume(): void {
    this.process().life.resume()
  }

  /** As on SIGTERM. */
  async stop(transfer = false): Promise<void> {
    const { node, life } = this.process()
    await node.stop({ transfer })
    this.running = null
    life.end()
    // A process that ends by itself loses nothing that the kernel has.
    this.state.crash(this.state.unflushed.length)
  }

  /** As on SIGKILL, or with a power cut: writes on their way are lost, and of the state all but `kept` unflushed writes. */
  async crash(kept = 0): Promise<void> {
    const { life, transport } = this.process()
    this.running = null
    life.end()
    this.state.crash(kept)
    await transport.stop()
  }

  /** The disk is replaced by an empty one. */
  wipe(): void {
    this.empty()
    this.wipes += 1
  }

  /** The disk from before the last wipe is put back, with nothing on it but who the node was. */
  restoreEmptied(): void {
    this.empty()
    this.wipes -= 1
  }

  /** Its disk becomes what is on the disk of `other` now. */
  copyFrom(other: Machine): void {
    this.empty()
    this.log.synced = [...other.log.synced]
    this.state.copyFrom(other.state)
    for (const [peer, incarnation] of other.peers) this.peers.set(peer, incarnation)
    this.memory = other.memory
    this.wipes = other.wipes
  }

  private empty(): void {
    if (this.running !== null) throw new Error(`node ${this.id} runs`)
    this.log.wipe()
    this.state.wipe()
    this.peers.clear()
    this.memory = NOTHING_REMEMBERED
  }

  private process(): Running {
    if (this.running === null) throw new Error(`node ${this.id} does not run`)
    return this.running
  }

  private nodeOptions(): NodeOptions {
    return {
      id: this.id,
      addresses: this.addresses,
      incarnation: this.incarnation,
      version: '0.0.0-test',
      clusterToken: '',
      heartbeatMs: 50,
      electionTimeoutMsMin: 300,
      electionTimeoutMsMax: 600,
      appendBytesMax: limits.appendBytesMax,
      appendEntriesMax: limits.appendEntriesMax,
      inflightAppendsMax: limits.inflightAppendsMax,
      inflightBytesMax: limits.inflightBytesMax,
      transferBytesPerMsMin: limits.diskBytesPerMsMin,
      uncommittedBytesMax: limits.uncommittedBytesMax,
      batchEntriesMax: limits.batchEntriesMax,
      batchBytesMax: limits.batchBytesMax,
      caughtUpEntriesMax: limits.caughtUpEntriesMax,
      purgeEveryEntries: 20_000,
      purgeEveryBytes: 128 * 1024 * 1024,
      keepEntries: 5_000,
      keepBytes: 16 * 1024 * 1024,
      snapshotHoldMs: 10_000,
      snapshotHoldBytes: 1024 * 1024 * 1024,
      snapshotBytesPerSecondMax: 1e9,
      snapshotChunkBytes: limits.snapshotChunkBytes,
      historyRetention: { revisions: 1_000_000, ageMs: 24 * 3_600_000, bytes: 1024 ** 3 },
      recordCacheBytesMax: limits.recordCacheBytesMax,
      rowsReadMax: limits.rowsReadMax,
      idempotentWritesMax: limits.idempotentWritesMax,
      keptValues: limits.keptValues,
      rangeDeleteKeysMax: limits.rangeDeleteKeysMax,
      history: limits.history,
      // Tests count entries. Those of what a higher level brings say so.
      featureLevelMax: 0,
      leases: limits.leases,
      transaction: limits.transaction,
      ...this.options,
    }
  }
}
