import { randomUUID } from 'node:crypto'
import { Agent, type IncomingMessage } from 'node:http'
import type { ClusterStatus, InitializeAnswer, LearnerAnswer, MembershipAnswer } from '../api/cluster.ts'
import type { DeleteAnswer, ImportAnswer, ListAnswer, PutAnswer, RecordView } from '../api/keys.ts'
import type { TransactionAnswer, TransactionBody } from '../api/transactions.ts'
import { openStream, piecesOf, wholeOf, type StreamRequest } from './bulk.ts'
import { changesSomething, type IncomingAnswer, type OutgoingRequest } from './exchange.ts'
import { limits } from '../limits.ts'
import {
  pathWith,
  Servers,
  silenceGraceMs,
  type ElsewhereReason,
  type Query,
  type Routing,
  type ServersAnswer,
} from './servers.ts'

export type ReadConsistency = 'linearizable' | 'lease' | 'stale'

/** The body of a failed request, as the server sent it: a problem document (RFC 9457). */
export interface Problem {
  readonly status: number
  readonly title: string
  readonly detail: string
  readonly code: string
  readonly retryable: boolean
  readonly ambiguous: boolean
  readonly [fact: string]: unknown
}

export class ProblemError extends Error {
  override readonly name = 'ProblemError'
  readonly problem: Problem

  constructor(problem: Problem) {
    super(`${problem.title}: ${problem.detail}`)
    this.problem = problem
  }
}

export interface ClientOptions {
  /** The API of one or more nodes: `http://host:port`. At least one. */
  readonly servers: readonly URL[]
  /** How long one request may take over all servers together. */
  readonly timeoutMs: number
  /** Called whenever a request moves on to the next server. */
  readonly onElsewhere?: (reason: ElsewhereReason) => void
}

export interface WriteConditions {
  /** Only when the key is at this revision. */
  readonly ifRevision: number | null
  /** Only when the key is absent. */
  readonly create: boolean
}

export interface RangeQuery {
  readonly prefix: string
  readonly limit: number
  readonly keysOnly: boolean
  readonly reverse: boolean
  readonly cursor: string | null
  readonly consistency: ReadConsistency
}

/** What an export is about: `prefix`, or `start` and `end`; nothing: every key. */
export interface ExportQuery {
  readonly prefix?: string | undefined
  readonly start?: string | undefined
  readonly end?: string | undefined
  readonly consistency: ReadConsistency
}

/** An export that has begun. */
export interface Export {
  /** The revision that the records show. */
  readonly revision: number
  /** A JSON document on each line. It is read to its end, or left. Rejects with `ConnectionError` when the stream breaks off. */
  readonly records: AsyncIterable<Uint8Array>
}

export interface VoterQuery {
  readonly retain: boolean
  readonly allowLagging: boolean
  readonly force: boolean
}

const anywhere: Routing = { firstOnly: false, signal: null }
/** For requests about one particular node: on another node they would mean something else. */
const firstOnly: Routing = { firstOnly: true, signal: null }

/** A member as `POST /cluster/initialize` and `POST /cluster/learners` take it. */
export interface MemberAddress {
  readonly id: number
  readonly raft: string
  readonly api: string
}

/**
 * The REST interface of a cluster. Every method rejects with `ProblemError` or `ConnectionError`.
 *
 * With one server nothing is retried. With several, a request that a server cannot serve goes on to the next one until the time
 * is up. Writes of keys then carry an idempotency key, so that a write whose answer was lost can be repeated without being
 * applied twice. A request that may be repeated waits for each server only a share of the time. Requests about one particular
 * node are sent to the first server alone.
 */
export class QuorateClient {
  private readonly options: ClientOptions
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 16 })
  private readonly servers: Servers

  constructor(options: ClientOptions) {
    this.options = options
    this.servers = new Servers(options.servers, this.agent, options.onElsewhere ?? (() => undefined))
  }

  close(): void {
    this.agent.destroy()
  }

  async put(key: string, value: Uint8Array, conditions: WriteConditions): Promise<PutAnswer> {
    const headers: Record<string, string> = { 'content-type': 'application/octet-stream', ...this.idempotency() }
    if (conditions.ifRevision !== null) headers['if-match'] = `"${conditions.ifRevision}"`
    if (conditions.create) headers['if-none-match'] = '*'
    return await this.json<PutAnswer>('PUT', '/kv', this.withDeadline({ key }), value, headers)
  }

  async get(key: string, consistency: ReadConsistency): Promise<RecordView> {
    const headers = { accept: 'application/json' }
    return await this.json<RecordView>('GET', '/kv', this.withDeadline({ key, consistency }), null, headers)
  }

  /** The bytes of the value, unchanged. */
  async getValue(key: string, consistency: ReadConsistency): Promise<Uint8Array> {
    const headers = { accept: 'application/octet-stream' }
    const answer = await this.exchange('GET', '/kv', this.withDeadline({ key, consistency }), null, headers, anywhere)
    // Any web server answers 200. Only a node says which revision its answer reflects.
    if (answer.status === 200 && answer.headers['quorate-revision'] !== undefined) return answer.body
    throw new ProblemError(problemOf('GET', answer, parse(answer)))
  }

  async delete(key: string, ifRevision: number | null): Promise<DeleteAnswer> {
    const condition = ifRevision === null ? {} : { 'if-match': `"${ifRevision}"` }
    const headers = { ...condition, ...this.idempotency() }
    return await this.json<DeleteAnswer>('DELETE', '/kv', this.withDeadline({ key }), null, headers)
  }

  /** Deletes every key that begins with `prefix`, which is not empty: as one change, or with `chunked` as several. */
  async deletePrefix(prefix: string, chunked: boolean): Promise<DeleteAnswer> {
    return await this.deleteRange({ prefix }, chunked)
  }

  /** Deletes every key: as one change, or with `chunked` as several. */
  async deleteAll(chunked: boolean): Promise<DeleteAnswer> {
    return await this.deleteRange({ all: 'true' }, chunked)
  }

  private async deleteRange(bounds: Record<string, string>, chunked: boolean): Promise<DeleteAnswer> {
    const query = this.withDeadline({ ...bounds, chunked: chunked ? 'true' : undefined })
    return await this.json<DeleteAnswer>('DELETE', '/kv', query, null, this.idempotency())
  }

  /** Carries out one of two lists of operations, as one change: `success` when all comparisons hold, otherwise `failure`. */
  async transaction(transaction: TransactionBody): Promise<TransactionAnswer> {
    return await this.transactionText(Buffer.from(JSON.stringify(transaction)))
  }

  /** The same for the JSON of a transaction as somebody wrote it. */
  async transactionText(json: Uint8Array): Promise<TransactionAnswer> {
    const headers = { 'content-type': 'application/json', ...this.idempotency() }
    return await this.json<TransactionAnswer>('POST', '/txn', this.withDeadline({}), json, headers)
  }

  /** One page. */
  async list(range: RangeQuery): Promise<ListAnswer> {
    const query = {
      prefix: range.prefix === '' ? undefined : range.prefix,
      limit: String(range.limit),
      keysOnly: range.keysOnly ? 'true' : undefined,
      reverse: range.reverse ? 'true' : undefined,
      cursor: range.cursor ?? undefined,
      consistency: range.consistency,
    }
    return await this.json<ListAnswer>('GET', '/kv', this.withDeadline(query), null)
  }

  /** A range as a stream of records, one consistent view, from the first server that takes the connection. */
  async exportRecords({ consistency, ...bounds }: ExportQuery): Promise<Export> {
    const path = pathWith('/kv', this.withDeadline({ ...bounds, consistency }))
    const answer = await this.open({ method: 'GET', path, headers: { accept: 'application/x-ndjson' }, body: null })
    const revision = Number(answer.headers['quorate-revision'])
    if (answer.statusCode === 200 && revision >= 0) return { revision, records: piecesOf(answer) }
    const failed = await wholeOf(answer)
    throw new ProblemError(problemOf('GET', failed, parse(failed)))
  }

  /**
   * Writes the records that `source` holds, a line each, through the first server that takes the connection. Under the same `name` the same
   * records can be sent again: what is in is not written a second time.
   */
  async importRecords(source: AsyncIterable<Uint8Array>, name: string): Promise<ImportAnswer> {
    const headers = { 'content-type': 'application/x-ndjson', 'idempotency-key': name }
    const path = pathWith('/kv', this.withDeadline({}))
    const answer = await wholeOf(await this.open({ method: 'POST', path, headers, body: source }))
    const document = parse(answer)
    if (answer.status === 200 && document !== null) return document as ImportAnswer
    throw new ProblemError(problemOf('POST', answer, document))
  }

  private async open(outgoing: Omit<StreamRequest, 'silenceMsMax'>): Promise<IncomingMessage> {
    const silenceMsMax = limits.requestTimeoutMsMax + silenceGraceMs
    return await openStream(this.options.servers, this.agent, { ...outgoing, silenceMsMax })
  }

  /** Aborting `signal` ends it with a `ConnectionError`. */
  async cluster(signal: AbortSignal | null = null): Promise<ClusterStatus> {
    return await this.json<ClusterStatus>('GET', '/cluster', {}, null, {}, { firstOnly: false, signal })
  }

  async membership(): Promise<MembershipAnswer> {
    return await this.json<MembershipAnswer>('GET', '/cluster/membership', {}, null)
  }

  /** `members` null: the cluster consists of the first server's node alone. */
  async initialize(
    members: readonly MemberAddress[] | null,
    wait: 'appended' | 'leader' | 'committed',
  ): Promise<InitializeAnswer> {
    const path = '/cluster/initialize'
    if (members !== null) return await this.send<InitializeAnswer>('POST', path, { wait }, { members })
    return await this.json<InitializeAnswer>('POST', path, this.withDeadline({ wait }), null, {}, firstOnly)
  }

  async addLearner(member: MemberAddress, wait: boolean): Promise<LearnerAnswer> {
    return await this.send<LearnerAnswer>('POST', '/cluster/learners', {}, { ...member, wait })
  }

  async removeLearner(id: number): Promise<void> {
    await this.json('DELETE', `/cluster/learners/${id}`, this.withDeadline({}), null)
  }

  async setVoters(voters: readonly number[], change: VoterQuery): Promise<MembershipAnswer> {
    return await this.send<MembershipAnswer>('PUT', '/cluster/membership', {}, { voters, ...change })
  }

  async removeVoter(id: number, change: VoterQuery): Promise<MembershipAnswer> {
    return await this.send<MembershipAnswer>('PATCH', '/cluster/membership', {}, { remove: [id], ...change })
  }

  /** Turns learners into voters. All other members stay what they are. */
  async addVoters(ids: readonly number[], change: VoterQuery): Promise<MembershipAnswer> {
    return await this.send<MembershipAnswer>('PATCH', '/cluster/membership', {}, { add: ids, ...change })
  }

  async setAddresses({ id, raft, api }: MemberAddress, force: boolean): Promise<MembershipAnswer> {
    return await this.send<MembershipAnswer>('PUT', `/cluster/nodes/${id}`, {}, { raft, api, force })
  }

  /** `to` null: the voter that is furthest ahead. */
  async transfer(to: number | null): Promise<{ readonly leader: number }> {
    return await this.send('POST', '/cluster/leader', {}, to === null ? {} : { id: to })
  }

  /** Whether linearizable reads are served by the first server. */
  async isReady(): Promise<boolean> {
    return (await this.exchange('GET', '/readyz', {}, null, {}, firstOnly)).status === 200
  }

  /** Resolves when the first server reports that it is alive, or ready; rejects with its reason when it does not. */
  async checkHealth(probe: 'livez' | 'readyz'): Promise<void> {
    const answer = await this.exchange('GET', `/${probe}`, {}, null, {}, firstOnly)
    // Any web server answers 200.
    if (answer.status === 200 && answer.body.toString('utf8') === 'ok\n') return
    throw new ProblemError(problemOf('GET', answer, parse(answer)))
  }

  private idempotency(): Readonly<Record<string, string>> {
    return this.options.servers.length > 1 ? { 'idempotency-key': randomUUID() } : {}
  }

  private withDeadline(query: Query): Query {
    return { ...query, timeout: `${this.options.timeoutMs}ms` }
  }

  private async send<Answer>(
    method: OutgoingRequest['method'],
    path: string,
    query: Query,
    body: object,
  ): Promise<Answer> {
    const headers = { 'content-type': 'application/json' }
    return await this.json<Answer>(method, path, this.withDeadline(query), Buffer.from(JSON.stringify(body)), headers)
  }

  private async json<Answer>(
    method: OutgoingRequest['method'],
    path: string,
    query: Query,
    body: Uint8Array | null,
    headers: Readonly<Record<string, string>> = {},
    routing: Routing = anywhere,
  ): Promise<Answer> {
    const answer = await this.exchange(method, path, query, body, headers, routing)
    const document = parse(answer)
    if (answer.status >= 200 && answer.status < 300 && document !== null) return document as Answer
    throw new ProblemError(problemOf(method, answer, document))
  }

  private async exchange(
    method: OutgoingRequest['method'],
    path: string,
    query: Query,
    body: Uint8Array | null,
    headers: Readonly<Record<string, string>>,
    routing: Routing,
  ): Promise<ServersAnswer> {
    return await this.servers.exchange({ method, path, query, headers, body, ...routing }, this.options.timeoutMs)
  }
}

/** Null when the body is not a JSON object. */
function parse(answer: IncomingAnswer): object | null {
  try {
    const document: unknown = JSON.parse(answer.body.toString('utf8'))
    return typeof document === 'object' ? document : null
  } catch {
    return null
  }
}

/** The server's own problem document, or one made of the status alone when the server is not a node. */
function problemOf(
  method: OutgoingRequest['method'],
  answer: IncomingAnswer & Partial<ServersAnswer>,
  document: object | null,
): Problem {
  const { status, mayHaveHappened = false } = answer
  if (document !== null && 'code' in document && 'detail' in document) {
    const problem = document as Problem
    // The refusal does not cover an earlier server, which may have carried out the same request.
    return { ...problem, ambiguous: problem.ambiguous || (mayHaveHappened && problem.retryable) }
  }
  return {
    status,
    title: `Status ${status}`,
    detail: 'this is not an answer of a Quorate node: make sure that the address is that of the API of a node',
    code: 'unknown',
    retryable: false,
    ambiguous: changesSomething(method),
  }
}
