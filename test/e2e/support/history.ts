import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  keyFromText,
  type Command,
  type CommandResult,
  type Condition,
  type Key,
  type KeyRecord,
} from '../../../src/kv/index.ts'
import { limits } from '../../../src/limits.ts'
import { callsOn, keyModel, positionTold } from '../../../src/checker/key-model.ts'
import { checkLinearizable } from '../../../src/checker/linearizability.ts'
import {
  describeOperation,
  type Answer,
  type Operation,
  type Outcome,
  type Request,
} from '../../../src/checker/operation.ts'
import type { Owner } from '../../support/temporary-directory.ts'
import type { NodeProcess } from './node-process.ts'
import { Unanswered, type RestAnswer } from './rest-client.ts'

export interface HistoryOptions {
  readonly clients: number
  readonly keys: readonly string[]
}

const stepsMax = 20_000_000
/** Keeps histories short enough for the search, and leaves the machine's time to the nodes. */
const paceMs = 15
const requestTimeout = '1500ms'
const silenceMsMax = 5_000

/** Clients that read and write a few keys through all nodes. Their history can be checked for linearizability. */
export class History {
  readonly operations: Operation[] = []
  private readonly keys: readonly string[]
  private readonly nodes: readonly NodeProcess[]
  private readonly running: Promise<void>[]
  private stopping = false

  /** It ends with the test that it is a part of, also when that fails. */
  constructor(owner: Owner, options: HistoryOptions, nodes: readonly NodeProcess[]) {
    this.keys = options.keys
    this.nodes = nodes
    this.running = Array.from({ length: options.clients }, async (_, client) => await this.run(client))
    owner.teardown(async () => await this.stop())
  }

  async stop(): Promise<void> {
    this.stopping = true
    await Promise.all(this.running)
  }

  count(kind: Outcome['kind']): number {
    return this.operations.filter(({ outcome }) => outcome.kind === kind).length
  }

  /** Why the history is not linearizable; null when it is. */
  violation(): string | null {
    for (const text of this.keys) {
      const calls = callsOn(keyOf(text), this.operations, positionTold)
      const verdict = checkLinearizable(calls, keyModel, stepsMax)
      if (verdict.kind === 'linearizable') continue
      if (verdict.kind === 'undecided') return `${text}: given up after ${verdict.steps} steps`
      const line = (at: number): string => {
        const call = calls[at]
        return call === undefined ? '' : describeOperation(call.input.operation)
      }
      return [`${text}:`, ...verdict.longest.slice(-12).map(line), `does not fit: ${line(verdict.stuck)}`].join('\n')
    }
    return null
  }

  private async run(client: number): Promise<void> {
    let at = client
    /** The last revision of each key that this client has seen, for its conditional writes. */
    const seen = new Map<string, number>()
    for (let number = 0; !this.stopping; number++) {
      const key = this.keys[randomInt(this.keys.length)] ?? ''
      const node = this.nodes[at % this.nodes.length]
      if (node === undefined) throw new Error('there are no nodes to ask')
      const request = this.draw(key, `${client}.${number}`, seen.get(key) ?? null)
      const operation = this.begin(client, request)
      const { outcome, revision } = await perform(node, key, request)
      operation.outcome = outcome
      if (outcome.kind === 'answered') operation.returnedAt = performance.now()
      if (revision !== null) seen.set(key, revision)
      if (outcome.kind !== 'answered' || randomInt(4) === 0) at += 1
      await delay(paceMs)
    }
  }

  private begin(client: number, request: Request): Operation {
    const operation: Operation = {
      id: this.operations.length,
      client,
      request,
      invokedAt: performance.now(),
      returnedAt: Number.POSITIVE_INFINITY,
      outcome: { kind: 'unknown', code: 'open' },
    }
    this.operations.push(operation)
    return operation
  }

  private draw(text: string, value: string, seen: number | null): Request {
    const key = keyOf(text)
    const kind = randomInt(10)
    if (kind < 4) return { type: 'get', key, consistency: 'linearizable', minRevision: null }
    const condition: Condition | null = kind >= 8 && seen !== null ? { type: 'mod-revision', revision: seen } : null
    const common = { key, condition, wantsPrevious: false, idempotency: null }
    const command: Command =
      kind === 4 ? { type: 'delete', ...common } : { type: 'put', value: Buffer.from(value), ...common }
    return { type: 'write', command }
  }
}

interface Performed {
  readonly outcome: Outcome
  /** The key's revision according to the answer. */
  readonly revision: number | null
}

async function perform(node: NodeProcess, key: string, request: Request): Promise<Performed> {
  try {
    const answer = await send(node, key, request)
    if (request.type === 'write') return readWrite(answer, request.command)
    return readGet(answer)
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error
    const outcome: Outcome = error.refused
      ? { kind: 'failed', code: 'connection refused' }
      : { kind: 'unknown', code: 'connection broken' }
    return { outcome, revision: null }
  }
}

async function send(node: NodeProcess, key: string, request: Request): Promise<RestAnswer> {
  const options = { query: `?timeout=${requestTimeout}`, silenceMsMax }
  if (request.type !== 'write') return await node.client.getKey(key, options)
  const { command } = request
  if (command.type !== 'put' && command.type !== 'delete') throw new Error('a history writes single keys')
  const { condition } = command
  const headers = condition?.type === 'mod-revision' ? { 'if-match': `"${condition.revision}"` } : {}
  if (command.type === 'put') return await node.client.putKey(key, command.value, { ...options, headers })
  return await node.client.request('DELETE', `/kv/${encodeURIComponent(key)}${options.query}`, {
    silenceMsMax,
    headers,
  })
}

function readGet(answer: RestAnswer): Performed {
  if (answer.status === 404) return { outcome: answered(answer, null), revision: null }
  if (answer.status !== 200) return { outcome: refusal(answer), revision: null }
  const record: KeyRecord = {
    createRevision: numberIn(answer, 'quorate-create-revision'),
    modRevision: numberIn(answer, 'quorate-mod-revision'),
    version: numberIn(answer, 'quorate-version'),
    lease: 0,
    value: answer.body,
  }
  return { outcome: answered(answer, record), revision: record.modRevision }
}

function answered(answer: RestAnswer, record: KeyRecord | null): Outcome {
  const revision = numberIn(answer, 'quorate-revision')
  const given = answer.header('quorate-consistency')
  if (given !== 'linearizable') throw new Error(`a linearizable read was answered as ${given}`)
  return { kind: 'answered', answer: { type: 'get', record, revision, given } satisfies Answer }
}

function readWrite(answer: RestAnswer, command: Command): Performed {
  const done = (result: CommandResult, revision: number): Outcome => {
    return { kind: 'answered', answer: { type: 'write', result, revision } }
  }
  if (answer.status === 412) {
    const currentRevision = answer.problem['currentRevision']
    if (currentRevision !== null && typeof currentRevision !== 'number') throw new Error(answer.summary)
    return {
      outcome: done({ type: 'condition-failed', currentRevision }, currentRevision ?? 0),
      revision: currentRevision,
    }
  }
  if (answer.status !== 200) return { outcome: refusal(answer), revision: null }
  const body = answer.json<{ revision: number; createRevision: number; version: number; deleted: number }>()
  const { revision, createRevision, version, deleted } = body
  if (command.type === 'put') {
    return { outcome: done({ type: 'put', revision, createRevision, version, previous: null }, revision), revision }
  }
  return { outcome: done({ type: 'deleted', revision, deleted, previous: null }, revision), revision: null }
}

/** The node itself says whether the write may take effect. If that is wrong, the history shows it. */
function refusal(answer: RestAnswer): Outcome {
  const { code, ambiguous } = answer.problem
  return ambiguous ? { kind: 'unknown', code } : { kind: 'failed', code }
}

function numberIn(answer: RestAnswer, header: string): number {
  const number = Number(answer.header(header) ?? Number.NaN)
  if (!Number.isSafeInteger(number)) throw new Error(`the header ${header} is missing or no number: ${answer.summary}`)
  return number
}

function keyOf(text: string): Key {
  const outcome = keyFromText(text, limits.keyBytesMax)
  if (outcome.kind === 'invalid') throw new Error(outcome.reason)
  return outcome.key
}
