import { setTimeout as delay } from 'node:timers/promises'
import type { TlsOptions } from '../../../src/client/options.ts'
import { QuorateClient } from '../../../src/client/quorate-client.ts'
import type { Owner } from '../../support/temporary-directory.ts'
import type { WriteOutcome } from './load.ts'
import { eventually } from './eventually.ts'
import type { NodeProcess } from './node-process.ts'

export interface SteadyLoadOptions {
  readonly prefix: string
  /** The number of writers for each node. */
  readonly writers: number
  /** How long one write may take over all nodes together. */
  readonly timeoutMs: number
  /** For nodes that speak https. */
  readonly tls?: TlsOptions
  /** Where a client looks for a node. Absent: at the address of its API. */
  readonly serversOf?: (node: NodeProcess) => readonly string[]
}

/** Writes with one client. A new client then starts at the writer's own node again, in case the old one has moved to another. */
const writesPerClient = 25
const pauseMs = 2

/**
 * Writers that must not fail. Each writes through its own node, and moves on to others while that node is away, like any client
 * with a list of servers.
 */
export class SteadyLoad {
  readonly writes = new Map<string, WriteOutcome>()
  readonly prefix: string
  /** Writes that did not succeed in their time. */
  readonly failures: string[] = []
  /** How often a request moved on to another node, by reason. */
  readonly turned = new Map<string, number>()
  readonly acknowledgedAt: number[] = []
  readonly options: SteadyLoadOptions
  /** All present and future nodes. */
  private readonly nodes: readonly NodeProcess[]
  private readonly running: Promise<void>[] = []
  private stopping = false

  /** It ends with the test that it is a part of, also when that fails. */
  constructor(owner: Owner, options: SteadyLoadOptions, nodes: readonly NodeProcess[]) {
    this.options = options
    this.prefix = options.prefix
    this.nodes = nodes
    owner.teardown(async () => await this.stop())
  }

  /** From now on writes also go through `node`. */
  through(node: NodeProcess): void {
    for (let writer = 0; writer < this.options.writers; writer++) this.running.push(this.run(node, writer))
  }

  get acknowledged(): number {
    return this.acknowledgedAt.length
  }

  longestGapMs(): number {
    return Math.max(...this.acknowledgedAt.map((at, index) => at - (this.acknowledgedAt[index - 1] ?? at)))
  }

  /** Waits until `more` writes than now are acknowledged. */
  async untilWritten(more: number): Promise<void> {
    const before = this.acknowledged
    await eventually('writes are acknowledged', () => (this.acknowledged >= before + more ? true : null))
  }

  valueOf(key: string): string {
    return `the value of ${key}`
  }

  async stop(): Promise<void> {
    this.stopping = true
    await Promise.all(this.running)
  }

  private async run(node: NodeProcess, writer: number): Promise<void> {
    for (let number = 0; !this.stopping;) {
      const client = this.clientOf(node)
      for (let count = 0; count < writesPerClient && !this.stopping; count++, number++) {
        await this.write(client, `${this.prefix}${node.id}/${writer}/${number}`)
        await delay(pauseMs)
      }
      client.close()
    }
  }

  private clientOf(node: NodeProcess): QuorateClient {
    const others = this.nodes.filter((other) => other !== node)
    const { timeoutMs, tls, serversOf = ({ addresses }: NodeProcess) => [addresses.api] } = this.options
    return new QuorateClient({
      servers: [node, ...others].flatMap((one) => serversOf(one)),
      timeoutMs,
      tls,
      onElsewhere: (reason) => {
        const name = reason.kind === 'answered' ? reason.code : reason.kind
        this.turned.set(name, (this.turned.get(name) ?? 0) + 1)
      },
    })
  }

  private async write(client: QuorateClient, key: string): Promise<void> {
    try {
      const { revision } = await client.put(key, this.valueOf(key))
      this.writes.set(key, { kind: 'acknowledged', revision })
      this.acknowledgedAt.push(performance.now())
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.writes.set(key, { kind: 'unknown', reason })
      this.failures.push(`${key}: ${reason}`)
    }
  }
}
