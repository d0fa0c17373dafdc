import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Answer, Operation, Outcome, Request } from '../checker/operation.ts'
import { AmbiguousOutcomeError, ConnectionError, ProblemError } from '../client/errors.ts'
import type { QuorateClient } from '../client/quorate-client.ts'
import type { KeyRecord } from '../client/records.ts'
import type { CommandResult, Condition, Key } from '../kv/index.ts'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'

/** One client, which speaks to one node. */
export interface CheckedClient {
  readonly origin: string
  readonly client: QuorateClient
}

export interface Round {
  /** ASCII, so that each is its own text in the store too. */
  readonly keys: readonly string[]
  readonly operationsMax: number
  /** Moment on the clock of `performance` after which nothing more is begun. */
  readonly endsAt: number
  readonly signal: AbortSignal
}

/** What is known after an operation. */
interface Performed {
  readonly outcome: Outcome
  /** The key's revision according to the answer; null when there is none. */
  readonly revision: number | null
}

/** Between two operations of one client: keeps histories short enough for the search, and leaves the machine to the nodes. */
const paceMs = 15
/** After an operation that failed: a node that is down refuses within a millisecond, again and again. */
const failedPauseMs = 200

/**
 * Clients that write and read a few keys through all nodes at once, and take down what they see. The moments that are noted lie around those of
 * the real call, so that a busy process makes the check milder, and never wrong.
 */
export class CheckedClients {
  private readonly clients: readonly CheckedClient[]
  /** The highest revision that any answer told. */
  private newest = 0
  private writes = 0

  constructor(clients: readonly CheckedClient[]) {
    this.clients = clients
  }

  /** Plays until the round is over, or one of the clients fails as none should. Resolves with everything that was asked for. */
  async play(round: Round): Promise<Operation[]> {
    const operations: Operation[] = []
    const faults: Error[] = []
    const broken = new AbortController()
    const own = { ...round, signal: AbortSignal.any([round.signal, broken.signal]) }
    await Promise.all(
      this.clients.map(async ({ client }, at) => {
        try {
          await this.run(client, at, own, operations)
        } catch (error) {
          // The others write nothing more: the keys are about to be removed.
          faults.push(toError(error))
          broken.abort()
        }
      }),
    )
    const [fault] = faults
    if (fault !== undefined) throw fault
    return operations
  }

  private async run(client: QuorateClient, id: number, round: Round, operations: Operation[]): Promise<void> {
    const { keys, operationsMax, endsAt, signal } = round
    /** The last revision of each key that this client has seen, for its conditional writes. */
    const seen = new Map<string, number | null>()
    while (!signal.aborted && operations.length < operationsMax && performance.now() < endsAt) {
      const key = keys[randomInt(keys.length)] ?? ''
      const operation: Operation = {
        id: operations.length,
        client: id,
        request: this.draw(key, seen.get(key) ?? null),
        invokedAt: performance.now(),
        returnedAt: Number.POSITIVE_INFINITY,
        outcome: { kind: 'unknown', code: 'open' },
      }
      operations.push(operation)
      const { outcome, revision } = await this.perform(client, key, operation.request)
      operation.outcome = outcome
      if (outcome.kind === 'answered') operation.returnedAt = performance.now()
      if (outcome.kind === 'answered') seen.set(key, revision)
      await delay(outcome.kind === 'answered' ? paceMs : failedPauseMs)
    }
  }

  private draw(text: string, seen: number | null): Request {
    const key = text as Key
    const kind = randomInt(20)
    if (kind < 8) return { type: 'get', key, consistency: kind < 5 ? 'linearizable' : 'lease', minRevision: null }
    const common = { key, wantsPrevious: true, idempotency: null }
    const compared: Condition = seen === null ? { type: 'absent' } : { type: 'mod-revision', revision: seen }
    if (kind < 10) {
      const condition = kind === 8 && seen !== null ? compared : null
      return { type: 'write', command: { type: 'delete', condition, ...common } }
    }
    // No two writes of a check have the same value.
    this.writes += 1
    const value = Buffer.from(String(this.writes))
    const condition = kind < 15 ? compared : null
    return { type: 'write', command: { type: 'put', value, condition, ...common } }
  }

  private async perform(client: QuorateClient, key: string, request: Request): Promise<Performed> {
    try {
      const performed =
        request.type === 'get' ? await this.read(client, key, request) : await write(client, key, request)
      const { outcome } = performed
      if (outcome.kind === 'answered') this.newest = Math.max(this.newest, outcome.answer.revision)
      return performed
    } catch (error) {
      return failed(error)
    }
  }

  private async read(client: QuorateClient, key: string, { consistency }: ReadRequest): Promise<Performed> {
    const record = await client.get(key, { consistency })
    const { newest } = this
    // The answer about an absent key carries no record. Its place in the order is an assumption, which helps the search and decides nothing.
    const revision = record === null ? newest : record.modRevision
    const answer: Answer = {
      type: 'get',
      record: record === null ? null : stored(record),
      revision,
      given: consistency,
    }
    return { outcome: { kind: 'answered', answer }, revision: record === null ? null : revision }
  }
}

type ReadRequest = Extract<Request, { type: 'get' }>

function stored({ createRevision, modRevision, version, lease, value }: KeyRecord) {
  return { createRevision, modRevision, version, lease, value }
}

async function write(client: QuorateClient, key: string, request: Request): Promise<Performed> {
  if (request.type !== 'write') throw new Error('this is no write')
  const { command } = request
  if (command.type !== 'put' && command.type !== 'delete') throw new Error('the clients of a check write single keys')
  const { condition } = command
  const ifRevision = condition?.type === 'mod-revision' ? condition.revision : undefined
  if (command.type === 'delete') {
    const { revision, deleted, prev } = await client.delete(key, { ifRevision, prev: true })
    return { outcome: done({ type: 'deleted', revision, deleted, previous: before(prev) }, revision), revision: null }
  }
  const ifAbsent = condition?.type === 'absent'
  const answer = await client.put(key, command.value, { ifRevision, ifAbsent, prev: true })
  const { revision, createRevision, version, prev } = answer
  return {
    outcome: done({ type: 'put', revision, createRevision, version, previous: before(prev) }, revision),
    revision,
  }
}

function before(record: KeyRecord | null | undefined): ReturnType<typeof stored> | null {
  return record === null || record === undefined ? null : stored(record)
}

function done(result: CommandResult, revision: number): Outcome {
  return { kind: 'answered', answer: { type: 'write', result, revision } }
}

/** A condition that did not hold is an answer like any other. The node itself says whether a write may take effect: if that is wrong, the history shows it. */
function failed(error: unknown): Performed {
  if (error instanceof ProblemError) {
    const current = error.problem['currentRevision']
    if (error.code === 'precondition-failed' && (current === null || typeof current === 'number')) {
      return { outcome: done({ type: 'condition-failed', currentRevision: current }, current ?? 0), revision: current }
    }
    return { outcome: { kind: 'failed', code: error.code }, revision: null }
  }
  if (error instanceof ConnectionError) return { outcome: { kind: 'failed', code: 'no answer' }, revision: null }
  if (error instanceof AmbiguousOutcomeError) return { outcome: { kind: 'unknown', code: 'no answer' }, revision: null }
  throw error
}

/** One client of a check: its requests are tried once, so that each is one call, and given up soon, so that a node that hangs is asked again. */
export const checkedClientOptions = { retry: false, timeoutMs: limits.checkRequestMsMax } as const
