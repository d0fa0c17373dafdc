import type { Condition, IdempotencyTag, Key, Need } from '../../../src/kv/index.ts'
import type { Consistency } from '../../../src/api/keys.ts'
import type { NodeServices } from '../../../src/node/node.ts'
import { RequestError } from '../../../src/lib/errors.ts'
import { isVoter } from '../../../src/raft/index.ts'
import { AnsweredWrites } from './answered-writes.ts'
import { callNode, isAmbiguous, type CallOptions, type CallOutcome } from './call.ts'
import { answerOf, LeavingCaller, type Asking } from './front.ts'
import type { Secrets } from './keyring.ts'
import type { Draw } from '../world/draw.ts'
import type { Answer, ClientCommand, Outcome, Request } from '../../../src/checker/operation.ts'
import type { Heard, Operation } from '../history/operation.ts'
import { describeOperation } from '../../../src/checker/operation.ts'
import { markOf } from '../../kv/support/transaction-model.ts'
import { drawTransaction } from './transactions.ts'
import type { Machine } from '../machines/machine.ts'
import type { SimulationOptions } from '../world/options.ts'
import { ServiceCall } from '../oracles/service-call.ts'
import type { World } from '../world/world.ts'

/** A request, and the text by which it can be found in the log. */
export interface Drawn {
  readonly request: Request
  readonly mark: string | null
  /** The request was answered before. */
  readonly repeats?: true
  /** What it takes, where the request does not tell. */
  readonly needs?: readonly Need[]
}

export interface ClientDependencies {
  readonly world: World
  readonly machines: readonly Machine[]
  readonly history: Operation[]
  /** Null: there are no tokens in this run. */
  readonly secrets?: Secrets | null
}

const READER_SHARE = 0.3
/** Codes that mean that no node could accept or confirm the request in its time. */
const OUT_OF_TIME = new Set(['client-timeout', 'outcome-unknown', 'read-timeout', 'no-leader'])

/**
 * A client that reads and writes keys on any node, one request after the other. It retries what may be retried, and records
 * what it saw.
 */
export class Client {
  stopped = false
  private readonly id: number
  protected readonly options: SimulationOptions
  protected readonly world: World
  protected readonly random: Draw
  private readonly machines: readonly Machine[]
  private readonly history: Operation[]
  private readonly secrets: Secrets | null
  /** A reader never writes, so it does not hang where no write gets through. It sees the answers of a leader that has been deposed. */
  private readonly isReader: boolean
  /** The only consistency that a reader asks for; null for any. */
  private readonly trusts: Consistency | null
  /** The only node that it speaks to; null for any. */
  private readonly home: Machine | null
  private readonly answered: AnsweredWrites
  private sent = 0
  /** The last revision of each key that this client has seen, for conditions. */
  private readonly seen = new Map<Key, number>()
  protected lastRevision = 0

  constructor(id: number, options: SimulationOptions, dependencies: ClientDependencies) {
    this.id = id
    this.options = options
    this.world = dependencies.world
    this.random = dependencies.world.random.fork()
    this.machines = dependencies.machines
    this.history = dependencies.history
    this.secrets = dependencies.secrets ?? null
    this.isReader = this.random.chance(READER_SHARE)
    this.trusts = this.isReader
      ? this.random.pick<Consistency>(['linearizable', 'linearizable', 'lease', 'lease', 'stale'])
      : null
    this.home = this.random.chance(options.stickyShare) ? this.random.pick(this.machines) : null
    this.answered = new AnsweredWrites(options.repeatShare, this.random)
  }

  async run(): Promise<void> {
    while (!this.stopped) {
      await this.world.sleep(this.random.exponential(this.options.thinkMs))
      let drawn: Drawn | null = this.answered.draw() ?? this.drawRequest()
      while (drawn !== null && !this.stopped) drawn = this.nextOf(await this.perform(drawn))
    }
  }

  /** Writes one record through `machine`, over a network that loses no answers. Resolves to whether it was acknowledged. */
  async writeOnce(machine: Machine, timeoutMs: number): Promise<boolean> {
    const operation = this.begin(this.write(this.putCommand(this.drawKey(), null, null)))
    return this.finish(operation, machine, timeoutMs)
  }

  /** Reads everything through `machine`. Resolves to whether it was answered. */
  async scanOnce(machine: Machine, timeoutMs: number): Promise<boolean> {
    const request: Request = { type: 'scan', start: null, end: null, reverse: false, consistency: 'linearizable' }
    return this.finish(this.begin({ request, mark: null }), machine, timeoutMs)
  }

  async readOnce(machine: Machine, timeoutMs: number): Promise<boolean> {
    const request: Request = { type: 'get', key: this.drawKey(), consistency: 'linearizable', minRevision: null }
    return this.finish(this.begin({ request, mark: null }), machine, timeoutMs)
  }

  private async finish(operation: Operation, machine: Machine, timeoutMs: number): Promise<boolean> {
    const outcome = await this.ask(operation, machine, { timeoutMs, lostProbability: 0 })
    this.end(operation, this.outcomeOf(operation, outcome, false))
    return outcome.kind === 'answered'
  }

  private async perform(drawn: Drawn): Promise<Operation> {
    const operation = this.begin(drawn)
    const tag = drawn.request.type === 'write' ? drawn.request.command.idempotency : null
    const deadline = this.world.now() + this.options.timeoutMs * 2
    let unknownBefore = false
    let outcome: CallOutcome<readonly Heard[]>
    for (;;) {
      outcome = await (tag !== null && this.random.chance(0.1) ? this.askTwo(operation) : this.askOne(operation))
      const isOver = outcome.kind === 'answered' || this.stopped || this.world.now() >= deadline
      if (tag === null || isOver || (outcome.kind === 'failed' && !outcome.retryable && !outcome.ambiguous)) break
      if (isAmbiguous(outcome)) unknownBefore = true
      // A write with an idempotency key may be retried whatever happened to it.
      this.world.census.count('client-retry-keyed')
      await this.world.sleep(this.random.exponential(20))
    }
    this.end(operation, this.outcomeOf(operation, outcome, unknownBefore))
    this.answered.add(operation)
    if (isAmbiguous(outcome)) operation.leftAt = this.world.now()
    return operation
  }

  /** The next step of a deletion that takes several steps. */
  private nextOf({ request, outcome, repeats }: Operation): Drawn | null {
    if (repeats === true || request.type !== 'write' || request.command.type !== 'delete-range') return null
    const result = outcome.kind === 'answered' && outcome.answer.type === 'write' ? outcome.answer.result : null
    if (result?.type === 'range-too-large') this.world.census.count('client-range-refused')
    if (result?.type !== 'range-deleted' || result.next === null) return null
    this.world.census.count('client-range-continued')
    return this.write({ ...request.command, start: result.next, idempotency: this.drawTag() })
  }

  protected pickMachine(machines: readonly Machine[]): Machine {
    return this.random.pick(machines)
  }

  private askOne(operation: Operation): Promise<CallOutcome<readonly Heard[]>> {
    const { faults, timeoutMs } = this.options
    const machine = this.home ?? this.pickMachine(this.machines)
    return this.ask(operation, machine, { timeoutMs, lostProbability: faults.has('loss') ? 0.01 : 0 })
  }

  /** Sends the same named write to two nodes at once. Both answers count. */
  private async askTwo(operation: Operation): Promise<CallOutcome<readonly Heard[]>> {
    this.world.census.count('client-duplicate-keyed')
    const both = await Promise.all([this.askOne(operation), this.askOne(operation)])
    const heard = both.flatMap((outcome) => (outcome.kind === 'answered' ? outcome.value : []))
    return heard.length > 0 ? { kind: 'answered', value: heard } : (both.find(isAmbiguous) ?? both[0])
  }

  private ask(
    operation: Operation,
    machine: Machine,
    { timeoutMs, lostProbability }: Pick<CallOptions, 'timeoutMs' | 'lostProbability'>,
  ): Promise<CallOutcome<readonly Heard[]>> {
    const { request } = operation
    const stayMs = this.stayMs(request, timeoutMs)
    const call = { delayMs: this.options.delayMs, timeoutMs: stayMs, lostProbability }
    if (this.world.isTracing) this.world.note(`c${this.id}`, `#${operation.id} asks ${machine.name}`)
    const caller = new LeavingCaller(this.world, stayMs)
    return callNode(this.world, machine, call, async (services, process) => {
      const { electionTimeoutMsMax } = this.options.node
      const { secret } = operation
      const called = { request, secret, electionTimeoutMsMax }
      const watched = new ServiceCall(called, { machine, process, world: this.world })
      const from = this.world.now()
      const { view } = machine
      if (view !== null && !isVoter(view.effective.membership, machine.id)) operation.atLearner = true
      if (view !== null && view.effective.membership.configs.length > 1) operation.duringChange = true
      const asking = { timeoutMs, caller, secret, wall: () => process.clock.wall() }
      const answer = await this.answerOf(request, services, asking).catch((error: unknown) => {
        if (process.alive) watched.failed(error)
        if (process.alive) this.noteDenial(operation, error, { clusterId: machine.clusterId, from })
        throw error
      })
      if (process.alive) watched.gave(answer)
      // An answer of a process that has died by now reaches nobody.
      const freshAt = process.alive ? watched.answered() : null
      const span = { from, to: this.world.now() }
      return [{ answer, clusterId: machine.clusterId, freshAt, span, life: process.name }]
    })
  }

  protected answerOf(request: Request, services: NodeServices, asking: Asking): Promise<Answer> {
    return answerOf(request, services, asking)
  }

  private noteDenial(
    operation: Operation,
    error: unknown,
    { clusterId, from }: { readonly clusterId: string; readonly from: number },
  ): void {
    if (operation.secret === undefined || !(error instanceof RequestError) || !isDenial(error.code)) return
    const { code, message } = error
    const denial = { clusterId, span: { from, to: this.world.now() }, code, message }
    operation.denials = [...(operation.denials ?? []), denial]
  }

  /** The hash of the secret that the next request is made with. Undefined in a run without tokens. */
  protected drawSecret(): string | null | undefined {
    return this.secrets?.draw()
  }

  /** How long the client waits for an answer before it leaves. */
  protected stayMs(_request: Request, timeoutMs: number): number {
    return timeoutMs + 100
  }

  /** A text that no other request has. */
  protected nextName(): string {
    return `c${this.id}.${this.sent}`
  }

  private begin({ request, mark, repeats, needs }: Drawn): Operation {
    const secret = this.drawSecret()
    const operation: Operation = {
      id: this.history.length,
      client: this.id,
      request,
      invokedAt: this.world.now(),
      returnedAt: Infinity,
      outcome: { kind: 'unknown', code: 'unfinished' },
      mark,
      ...(repeats === true ? { repeats } : {}),
      ...(needs === undefined ? {} : { needs }),
      ...(secret === undefined ? {} : { secret }),
    }
    this.history.push(operation)
    return operation
  }

  private end(operation: Operation, outcome: Outcome): void {
    operation.outcome = outcome
    if (outcome.kind === 'answered') {
      operation.returnedAt = this.world.now()
      this.learn(operation.request, outcome.answer)
    } else if (outcome.kind === 'failed') {
      operation.returnedAt = this.world.now()
      if (isDenial(outcome.code)) this.secrets?.refused(operation.secret ?? null, outcome.code)
    } else {
      this.world.census.count('client-unknown-outcome')
    }
    if (this.world.isTracing) this.world.note(`c${this.id}`, describeOperation(operation))
  }

  private outcomeOf(operation: Operation, outcome: CallOutcome<readonly Heard[]>, unknownBefore: boolean): Outcome {
    const [first] = outcome.kind === 'answered' ? outcome.value : []
    if (outcome.kind === 'answered' && first !== undefined) {
      operation.heard = outcome.value
      const { answer } = first
      if (answer.type === 'write' && answer.result.type === 'key-reused') this.world.census.count('client-key-reused')
      return { kind: 'answered', answer }
    }
    const code = outcome.kind === 'answered' ? '' : outcome.code
    if (code === 'overloaded') this.world.census.count('client-overloaded')
    if (OUT_OF_TIME.has(code)) this.world.census.count('client-timeout')
    const isWrite = operation.request.type === 'write'
    return isWrite && (unknownBefore || isAmbiguous(outcome)) ? { kind: 'unknown', code } : { kind: 'failed', code }
  }

  protected learn(request: Request, answer: Answer): void {
    this.lastRevision = Math.max(this.lastRevision, answer.revision)
    if (answer.type === 'get' && request.type === 'get' && answer.record !== null) {
      this.seen.set(request.key, answer.record.modRevision)
    }
    if (
      answer.type === 'write' &&
      request.type === 'write' &&
      request.command.type === 'put' &&
      answer.result.type === 'put'
    ) {
      this.seen.set(request.command.key, answer.result.revision)
    }
  }

  protected drawRequest(): Drawn {
    const { random, options } = this
    const key = this.drawKey()
    if (random.chance(options.rangeShare)) {
      const [start, end] = this.drawRange()
      if (!this.isReader && random.chance(0.2)) {
        const upToLimit = random.chance(0.5)
        return this.write({ type: 'delete-range', start, end, upToLimit, idempotency: this.drawTag() })
      }
      const consistency = this.drawConsistency()
      return this.read({ type: 'scan', start, end, reverse: random.chance(0.3), consistency })
    }
    if (this.isReader || random.chance(0.45)) {
      const minRevision = random.chance(0.1) ? this.lastRevision : null
      const isBounded = random.chance(options.boundedShare)
      const consistency = isBounded ? 'stale' : this.drawConsistency()
      const request: Request = { type: 'get', key, consistency, minRevision: isBounded ? null : minRevision }
      if (consistency !== 'stale' || (!isBounded && random.chance(0.3))) return this.read(request)
      const { heartbeatMs, electionTimeoutMsMax } = options.node
      const maxStalenessMs = random.pick([heartbeatMs, 3 * heartbeatMs, electionTimeoutMsMax, 5 * electionTimeoutMsMax])
      return { request: { ...request, maxStalenessMs }, mark: null }
    }
    if (options.transactionShare > 0 && random.chance(options.transactionShare)) return this.drawTransaction()
    if (options.upkeepShare > 0 && random.chance(options.upkeepShare)) return this.write(this.drawUpkeep())
    const condition = this.drawCondition(key)
    if (random.chance(0.15)) {
      const wantsPrevious = random.chance(0.3)
      return this.write({ type: 'delete', key, condition, wantsPrevious, idempotency: this.drawTag() })
    }
    return this.write(this.putCommand(key, condition, this.drawTag()))
  }

  /** Of the present, or of the past as far as the client knows of it, and now and then a little beyond. */
  private read(request: Exclude<Request, { type: 'write' }>): Drawn {
    const { random, options, lastRevision } = this
    if (options.pastShare === 0 || !random.chance(options.pastShare)) return { request, mark: null }
    const reach = random.pick([3, 20, 200])
    // Without faults every call is answered, and nobody can show what is not there yet.
    const ahead = options.faults.size > 0 && random.chance(0.1) ? random.integer(1, 4) : 0
    const revision = ahead > 0 ? lastRevision + ahead : Math.max(0, lastRevision - random.integer(0, reach))
    return {
      request: request.type === 'get' ? { ...request, minRevision: null, revision } : { ...request, revision },
      mark: null,
    }
  }

  private drawTransaction(): Drawn {
    const command = drawTransaction(
      {
        random: this.random,
        key: () => this.drawKey(),
        range: () => this.drawRange(),
        seen: (key) => this.seen.get(key),
        value: () => this.drawValue(),
      },
      this.drawTag(),
    )
    return this.write(command)
  }

  /** What an operator does to the history of a store, and the leader by itself. */
  private drawUpkeep(): ClientCommand {
    const { random, lastRevision } = this
    if (random.chance(0.3)) {
      const [revisions, ageMs, bytes] = [random.pick([0, 3, 10, 200]), 1_000_000, random.pick([300, 3_000, 30_000])]
      return { type: 'retention', retention: { revisions, ageMs, bytes }, idempotency: this.drawTag() }
    }
    const at = Math.max(0, lastRevision - random.integer(-2, 20))
    const revision = random.chance(0.3) ? null : at
    return { type: 'compaction', revision, idempotency: this.drawTag() }
  }

  protected drawValue(): Uint8Array {
    const padding = this.random.chance(0.05) ? '+'.repeat(this.random.integer(1, 600)) : ''
    return Buffer.from(`${this.nextName()}${padding}`)
  }

  private putCommand(key: Key, condition: Condition | null, idempotency: IdempotencyTag | null): ClientCommand {
    return {
      type: 'put',
      key,
      value: this.drawValue(),
      condition,
      wantsPrevious: this.random.chance(0.3),
      idempotency,
    }
  }

  protected write(command: ClientCommand): Drawn {
    this.sent += 1
    return { request: { type: 'write', command }, mark: markOf(command) }
  }

  protected drawKey(): Key {
    return `k${this.random.integer(0, this.options.keys)}` as Key
  }

  protected drawRange(): [Key | null, Key | null] {
    const a = this.random.chance(0.3) ? null : this.drawKey()
    const b = this.random.chance(0.3) ? null : this.drawKey()
    return a !== null && b !== null && a > b ? [b, a] : [a, b]
  }

  private drawConsistency(): Consistency {
    if (this.trusts !== null) return this.trusts
    if (this.random.chance(this.options.leaseShare)) return 'lease'
    return this.random.chance(0.15) ? 'stale' : 'linearizable'
  }

  private drawCondition(key: Key): Condition | null {
    const drawn = this.random.integer(0, 10)
    if (drawn === 0) return { type: 'absent' }
    if (drawn === 1) return { type: 'present' }
    const revision = this.seen.get(key)
    return drawn < 4 && revision !== undefined ? { type: 'mod-revision', revision } : null
  }

  protected drawTag(): IdempotencyTag | null {
    if (!this.random.chance(this.options.keyedShare)) return null
    // Sometimes another request uses a key that was used before.
    const number = this.random.chance(0.03) ? Math.max(0, this.sent - 1) : this.sent
    return { key: `t${this.id}-${number}`, fingerprint: this.sent }
  }
}

/** The node refuses because of the token. */
function isDenial(code: string): boolean {
  return code === 'unauthenticated' || code === 'forbidden'
}
