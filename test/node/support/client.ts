import type { Command, CommandResult, Condition, IdempotencyTag, Key } from '../../../src/kv/index.ts'
import { keyFromText, keyToText } from '../../../src/kv/index.ts'
import type { AddressChange, ReadOptions, VoterChange, Watch, WatchOptions } from '../../../src/api/services.ts'
import type { Node } from '../../../src/node/node.ts'
import type { MemberSpec } from '../../../src/api/cluster.ts'
import type { Life } from './life.ts'

export function key(text: string): Key {
  const outcome = keyFromText(text, 4096)
  if (outcome.kind === 'invalid') throw new Error(outcome.reason)
  return outcome.key
}

/** The revision that a put made. */
export function revisionOf(result: CommandResult): number {
  if (result.type !== 'put') throw new Error(`a put was answered with ${result.type}`)
  return result.revision
}

export interface WriteOptions {
  readonly condition?: Condition
  readonly idempotency?: IdempotencyTag
  readonly previous?: boolean
  readonly timeoutMs?: number
}

type Services = Node['services']

/** The requests that clients can make to one process. Every call ends, at the latest with the process. */
export class Client {
  private readonly node: Node
  private readonly life: Life

  constructor(node: Node, life: Life) {
    this.node = node
    this.life = life
  }

  async execute(command: Command, timeoutMs = 5_000): Promise<CommandResult> {
    return (await this.life.guard(this.services.keys.execute(command, timeoutMs))).result
  }

  async put(name: string, value: string, options: WriteOptions = {}): Promise<CommandResult> {
    const { condition = null, idempotency = null, previous = false, timeoutMs } = options
    const command: Command = {
      type: 'put',
      key: key(name),
      value: Buffer.from(value),
      condition,
      wantsPrevious: previous,
      idempotency,
    }
    return this.execute(command, timeoutMs)
  }

  async delete(name: string, options: WriteOptions = {}): Promise<CommandResult> {
    const { condition = null, idempotency = null, previous = false, timeoutMs } = options
    return this.execute({ type: 'delete', key: key(name), condition, wantsPrevious: previous, idempotency }, timeoutMs)
  }

  async deleteRange(start: string, end: string | null, upToLimit = false): Promise<CommandResult> {
    return this.execute({
      type: 'delete-range',
      start: key(start),
      end: end === null ? null : key(end),
      upToLimit,
      idempotency: null,
    })
  }

  async read(name: string, options: Partial<ReadOptions> = {}) {
    const { record, context } = await this.life.guard(this.services.keys.get(key(name), readOptions(options)))
    return { value: record === null ? null : Buffer.from(record.value).toString(), record, context }
  }

  /** The value; null when the key is absent. */
  async get(name: string, options: Partial<ReadOptions> = {}): Promise<string | null> {
    return (await this.read(name, options)).value
  }

  async stale(name: string): Promise<string | null> {
    return this.get(name, { consistency: 'stale' })
  }

  /** The whole store, in pages of `limit`. */
  async scan(options: Partial<ReadOptions> = {}, limit = 1000) {
    const { life } = this
    const range = { start: null, end: null, after: null, reverse: false }
    const scan = await life.guard(this.services.keys.scan(range, readOptions(options)))
    const items: [string, string][] = []
    for (let done = false; !done;) {
      const page = await life.guard(scan.next(limit, 1e9))
      for (const item of page.items) items.push([keyToText(item.key), Buffer.from(item.record.value).toString()])
      done = page.done
    }
    await scan.close()
    return { items, context: scan.context }
  }

  watch(options: WatchOptions): Promise<Watch> {
    return this.life.guard(this.services.watches.open(options))
  }

  /** What the process owes, until it ends. */
  guard<T>(promise: Promise<T>): Promise<T> {
    return this.life.guard(promise)
  }

  /** The cluster keeps history from now on. */
  async keepHistory(retention = { revisions: 100_000, ageMs: 1e9, bytes: 1e9 }): Promise<void> {
    await this.execute({ type: 'raise-level', level: 1, version: 'test', retention, idempotency: null })
  }

  async compact(revision: number): Promise<void> {
    await this.execute({ type: 'compaction', revision, idempotency: null })
  }

  initialize(
    members: readonly MemberSpec[] | null,
    wait: 'appended' | 'leader' | 'committed' = 'committed',
    ms = 5_000,
  ) {
    return this.life.guard(this.services.cluster.initialize(members, wait, ms))
  }

  addLearner(member: MemberSpec, { wait = true, timeoutMs = 5_000 } = {}) {
    return this.life.guard(this.services.cluster.addLearner(member, wait, timeoutMs))
  }

  removeLearner(id: number, timeoutMs = 5_000) {
    return this.life.guard(this.services.cluster.removeLearner(id, timeoutMs))
  }

  change(voters: VoterChange['voters'], options: Partial<VoterChange> = {}, timeoutMs = 5_000) {
    const change = { voters, retain: false, allowLagging: false, force: false, ifMembershipAt: null, ...options }
    return this.life.guard(this.services.cluster.changeVoters(change, timeoutMs))
  }

  setAddresses(member: MemberSpec, options: Partial<Omit<AddressChange, 'member'>> = {}, timeoutMs = 5_000) {
    const change = { member, force: false, ifMembershipAt: null, ...options }
    return this.life.guard(this.services.cluster.setAddresses(change, timeoutMs))
  }

  transfer(to: number | null, timeoutMs = 5_000) {
    return this.life.guard(this.services.cluster.transfer(to, timeoutMs))
  }

  learners() {
    return this.life.guard(this.services.cluster.learners(5_000))
  }

  status() {
    return this.services.cluster.status()
  }

  membership() {
    return this.services.cluster.membership()
  }

  campaign(): void {
    this.services.cluster.campaign()
  }

  purge() {
    return this.life.guard(this.services.cluster.purge())
  }

  ready() {
    return this.life.guard(this.services.health.ready())
  }

  get services(): Services {
    return this.node.services
  }
}

export function readOptions(options: Partial<ReadOptions>): ReadOptions {
  return { consistency: 'linearizable', minRevision: null, maxStalenessMs: null, timeoutMs: 2_000, ...options }
}
