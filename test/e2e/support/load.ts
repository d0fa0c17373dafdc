import { setTimeout as delay } from 'node:timers/promises'
import type { Owner } from '../../support/temporary-directory.ts'
import type { NodeProcess } from './node-process.ts'
import { Unanswered } from './rest-client.ts'

export type WriteOutcome =
  | { readonly kind: 'acknowledged'; readonly revision: number }
  /** It may have taken effect, or may do so later. */
  | { readonly kind: 'unknown'; readonly reason: string }
  /** The node has said that the write had no effect and never will. */
  | { readonly kind: 'refused'; readonly reason: string }

export interface LoadOptions {
  /** The number of concurrent clients. Each stays with one node until that node fails it. */
  readonly clients: number
  readonly prefix: string
  readonly valueBytes: number
}

/** How long a client waits after a refusal before it asks the next node. */
const pauseMs = 10

/** Writes every key once, through all nodes, and remembers the outcome of each write. */
export class Load {
  readonly writes = new Map<string, WriteOutcome>()
  readonly prefix: string
  /** The times at which writes were acknowledged, ascending. */
  readonly acknowledgedAt: number[] = []
  private readonly valueBytes: number
  private readonly nodes: readonly NodeProcess[]
  private readonly running: Promise<void>[]
  private stopping = false

  /** It ends with the test that it is a part of, also when that fails. */
  constructor(owner: Owner, options: LoadOptions, nodes: readonly NodeProcess[]) {
    this.prefix = options.prefix
    this.valueBytes = options.valueBytes
    this.nodes = nodes
    this.running = Array.from({ length: options.clients }, async (_, client) => await this.run(client))
    owner.teardown(async () => await this.stop())
  }

  count(kind: WriteOutcome['kind']): number {
    let count = 0
    for (const outcome of this.writes.values()) if (outcome.kind === kind) count += 1
    return count
  }

  /** The longest period without an acknowledgement between two moments. */
  longestGapMs(from: number, to: number): number {
    const moments = [from, ...this.acknowledgedAt.filter((at) => at > from && at < to), to]
    return Math.max(...moments.slice(1).map((at, index) => at - (moments[index] ?? at)))
  }

  /** The value is derived from the key, so a check need not store values. */
  valueOf(key: string): string {
    return `${key} `.repeat(Math.ceil(this.valueBytes / (key.length + 1))).slice(0, this.valueBytes)
  }

  async stop(): Promise<void> {
    this.stopping = true
    await Promise.all(this.running)
  }

  private async run(client: number): Promise<void> {
    let at = client
    for (let number = 0; !this.stopping; number++) {
      const node = this.nodes[at % this.nodes.length]
      if (node === undefined) throw new Error('there are no nodes to write to')
      const key = `${this.prefix}${client}/${number}`
      const outcome = await this.write(node, key)
      this.writes.set(key, outcome)
      if (outcome.kind === 'acknowledged') this.acknowledgedAt.push(performance.now())
      else {
        at += 1
        await delay(pauseMs)
      }
    }
  }

  private async write(node: NodeProcess, key: string): Promise<WriteOutcome> {
    try {
      const answer = await node.client.putKey(key, this.valueOf(key), { query: '?timeout=3s', silenceMsMax: 8_000 })
      if (answer.status === 200) {
        return { kind: 'acknowledged', revision: answer.json<{ revision: number }>().revision }
      }
      const { code, ambiguous } = answer.problem
      return { kind: ambiguous ? 'unknown' : 'refused', reason: code }
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error
      return { kind: error.refused ? 'refused' : 'unknown', reason: error.message }
    }
  }
}
