import { setTimeout as delay } from 'node:timers/promises'
import type { Owner } from '../../support/temporary-directory.ts'
import type { RestClient } from './rest-client.ts'
import { Unanswered } from './rest-client.ts'

interface Client {
  readonly client: RestClient
}

export interface WatchedLoadOptions {
  readonly writers: number
  /** How long each writer waits between two writes. */
  readonly pauseMs: number
}

const KEYS = 20
const UNANSWERED_MS = 20

/** Writers that put, delete, and change several keys at once, through whichever node answers. They know what was acknowledged. */
export class WatchedLoad {
  /** `revision key=value` of each acknowledged put. */
  readonly acknowledged: string[] = []
  private readonly nodes: readonly Client[]
  private readonly writers: Promise<void>[]
  private readonly pauseMs: number
  private stopped = false

  /** It ends with the test that it is a part of, also when that fails. */
  constructor(owner: Owner, { writers, pauseMs }: WatchedLoadOptions, nodes: readonly Client[]) {
    this.nodes = nodes
    this.pauseMs = pauseMs
    this.writers = Array.from({ length: writers }, (_, writer) => this.write(writer))
    owner.teardown(async () => await this.stop())
  }

  async stop(): Promise<void> {
    this.stopped = true
    await Promise.all(this.writers)
  }

  private async write(writer: number): Promise<void> {
    for (let n = 0; !this.stopped; n++) {
      const node = this.nodes[(writer + Math.floor(n / 10)) % this.nodes.length]
      if (node === undefined) return
      try {
        await this.once(node.client, `w/${writer}/${n % KEYS}`, `${writer}.${n}`, n)
      } catch (error) {
        if (!(error instanceof Unanswered)) throw error
        await delay(UNANSWERED_MS)
      }
      await delay(this.pauseMs)
    }
  }

  private async once(client: RestClient, key: string, value: string, n: number): Promise<void> {
    if (n % 7 === 6) return void (await client.request('DELETE', `/kv/${key}?timeout=2s`))
    if (n % 11 === 10) {
      const success = [key, `${key}/twin`].map((name) => ({ put: { key: name, value } }))
      return void (await client.post('/txn?timeout=2s', { success }))
    }
    const answer = await client.putKey(key, value, { query: '?timeout=2s' })
    if (answer.status === 200)
      this.acknowledged.push(`${answer.json<{ revision: number }>().revision} put ${key} ${value}`)
  }
}
