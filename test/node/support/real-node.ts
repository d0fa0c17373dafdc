import { createHash, randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { SeededRandom } from '../../../src/lib/random.ts'
import { limits } from '../../../src/limits.ts'
import { openNode, type Node } from '../../../src/node/node.ts'
import { NOTHING_REMEMBERED } from '../../../src/ports/automation.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import { nodeId } from '../../../src/raft/index.ts'
import { RocksStateStore } from '../../../src/storage/rocksdb/rocks-state-store.ts'
import { WalLogStore } from '../../../src/storage/wal/wal-log-store.ts'
import { systemClock } from '../../../src/system-clock.ts'
import type { LoopbackHub } from '../../../src/transport/loopback.ts'
import { addressesOf } from './machine.ts'

/** Settings that differ from the defaults. */
export interface RealNodeOptions {
  readonly purgeEveryEntries?: number
  readonly writeBufferBytes?: number
}

/** A node in real time on real stores, in `directory`. Logs are purged soon, so that the state matters. */
export class RealNode {
  readonly node: Node
  private readonly faults: readonly Error[]

  private constructor(node: Node, faults: readonly Error[]) {
    this.node = node
    this.faults = faults
  }

  static async start(
    id: number,
    directory: string,
    hub: LoopbackHub,
    options: RealNodeOptions = {},
  ): Promise<RealNode> {
    await mkdir(join(directory, 'log'), { recursive: true })
    const faults: Error[] = []
    const quiet = (): void => undefined
    const node = await openNode(
      {
        id: nodeId(id),
        addresses: addressesOf(id),
        incarnation: `real-${id}`,
        version: '0.0.0-test',
        clusterToken: '',
        heartbeatMs: 100,
        // Long, because the machine may be busy with other tests.
        electionTimeoutMsMin: 1_500,
        electionTimeoutMsMax: 3_000,
        appendBytesMax: limits.appendBytesMax,
        appendEntriesMax: limits.appendEntriesMax,
        inflightAppendsMax: limits.inflightAppendsMax,
        inflightBytesMax: limits.inflightBytesMax,
        transferBytesPerMsMin: limits.diskBytesPerMsMin,
        uncommittedBytesMax: limits.uncommittedBytesMax,
        batchEntriesMax: 16,
        batchBytesMax: limits.batchBytesMax,
        caughtUpEntriesMax: 10,
        purgeEveryEntries: options.purgeEveryEntries ?? 100,
        purgeEveryBytes: limits.segmentBytes,
        keepEntries: 20,
        keepBytes: 64 * 1024,
        snapshotHoldMs: 10_000,
        snapshotHoldBytes: 1024 * 1024 * 1024,
        snapshotBytesPerSecondMax: 1e9,
        snapshotChunkBytes: 4_096,
        historyRetention: { revisions: 1_000_000, ageMs: 24 * 3_600_000, bytes: 1024 ** 3 },
        recordCacheBytesMax: 4_096,
        rowsReadMax: limits.rowsReadMax,
        idempotentWritesMax: limits.idempotentWritesMax,
        keptValues: limits.keptValues,
        rangeDeleteKeysMax: limits.rangeDeleteKeysMax,
        history: limits.history,
        leases: limits.leases,
        transaction: limits.transaction,
      },
      {
        log: new WalLogStore(
          { directory: join(directory, 'log'), segmentBytes: 256 * 1024, cacheBytesMax: 16 * 1024 },
          {},
        ),
        state: new RocksStateStore({
          directory: join(directory, 'state'),
          writeBufferBytes: options.writeBufferBytes ?? 64 * 1024 * 1024,
        }),
        transport: hub.join(nodeId(id), addressesOf(id).raft),
        clock: systemClock,
        random: new SeededRandom(randomBytes(4).readUInt32LE()),
        peers: { load: async () => new Map<NodeId, string>(), remember: async () => {}, forget: async () => {} },
        formation: { load: async () => NOTHING_REMEMBERED, store: async () => {} },
        logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
        hash: (text) => createHash('sha256').update(text).digest('hex'),
        hashKey: [id, 2],
        onFault: (error) => faults.push(error),
      },
    )
    return new RealNode(node, faults)
  }

  get services(): Node['services'] {
    this.check()
    return this.node.services
  }

  /** Waits, in real time, until `holds` is true of what the node says of itself. */
  async until(what: string, holds: (status: ReturnType<RealNode['status']>) => boolean): Promise<void> {
    const deadline = performance.now() + 60_000
    while (!holds(this.status())) {
      if (performance.now() > deadline) throw new Error(`not in time: ${what}; ${JSON.stringify(this.status())}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  status() {
    return this.services.cluster.status()
  }

  async stop(): Promise<void> {
    await this.node.stop({ transfer: false })
    this.check()
  }

  private check(): void {
    const [fault] = this.faults
    if (fault !== undefined) throw fault
  }
}
