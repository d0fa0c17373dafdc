import type { Need } from '../../kv/index.ts'
import { RequestError, isErrorCode } from '../../lib/errors.ts'
import type { Random } from '../../lib/random.ts'
import { firstNumber } from '../../lib/random.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { ControlRequest, ControlResponse } from '../../ports/transport.ts'
import type { NodeId } from '../../raft/index.ts'
import type { Behalf, Warrant, Warrants } from './warrant.ts'
import type { Faults } from '../options.ts'
import type { LeaderDirectory } from './leader-directory.ts'
import type { LeaderRequest } from './leader-requests.ts'
import { Sweep } from './sweep.ts'

export interface LeaderCallsOptions {
  readonly id: NodeId
  readonly retryMs: number
}

export interface LeaderCallsDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly leaders: Pick<LeaderDirectory, 'leader'>
  readonly outbox: { send(message: ControlRequest | ControlResponse): void }
  readonly warrants: Pick<Warrants, 'of'>
  /** Hears of a request that failed in an unexpected way. */
  readonly faults: Faults
}

/** The time that a request has left, and the leave to do what it asks for. */
export interface Leave {
  readonly timeoutMs: number
  readonly warrant: Warrant
}

/** Carries out one kind of request on the leader. Its client was allowed to ask for it; the warrant says whether it still is. */
type Handler<Body, Answer> = (body: Body, leave: Leave) => Promise<Answer>

/** How often, for whom and until when a request is asked of the leader. */
export interface CallOptions {
  readonly timeoutMs: number
  /** Whether carrying it out twice has the same effect as carrying it out once. */
  readonly repeatable: boolean
  readonly behalf: Behalf
  /** Called when it is asked again though it may have been carried out. */
  readonly onAgain?: () => void
}

interface Asked {
  readonly name: string
  readonly body: unknown
  readonly behalf: Behalf
}

interface Call extends Asked, Pick<CallOptions, 'repeatable' | 'onAgain'> {
  readonly requestId: number
  readonly deadline: number
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: RequestError) => void
  /** The node that was asked and has not answered; null while there is no node to ask. */
  asked: NodeId | null
}

interface Answer {
  readonly value?: unknown
  readonly error?: { readonly code: string; readonly detail: string; readonly facts: Record<string, unknown> }
}

const RETRIED = new Set(['no-leader', 'transferring'])

/** Carries rare requests (memberships, transfers) to the leader, from whichever node received them, and carries the answers back. */
export class LeaderCalls {
  private readonly options: LeaderCallsOptions
  private readonly deps: LeaderCallsDependencies
  private readonly handlers = new Map<
    string,
    { readonly needs: readonly Need[]; readonly run: Handler<unknown, unknown> }
  >()
  private readonly calls = new Map<number, Call>()
  private requestIds: number
  private readonly sweep: Sweep
  private closed: RequestError | null = null
  /** Requests that this node is working on. */
  private working = 0

  constructor(options: LeaderCallsOptions, deps: LeaderCallsDependencies) {
    this.options = options
    this.deps = deps
    this.requestIds = firstNumber(deps.random)
    this.sweep = new Sweep(deps.clock, options.retryMs / 4, () => this.sweepOnce())
  }

  handle<Body, Answer>(request: LeaderRequest<Body, Answer>, handler: Handler<Body, Answer>): void {
    const { name, needs } = request
    const run: Handler<unknown, unknown> = async (json, leave) => {
      const body = request.body(json)
      if (body === null) throw new RequestError('invalid-request', `the body of the request ${name} is not valid`)
      return handler(body.value, leave)
    }
    this.handlers.set(name, { needs, run })
  }

  /** Has `request` carried out by the leader. Rejects with the leader's `RequestError`, or with `no-leader` or `outcome-unknown`. */
  async call<Body, Answer>(request: LeaderRequest<Body, Answer>, body: Body, options: CallOptions): Promise<Answer> {
    const answer = request.answer(await this.send(request.name, body, options))
    if (answer === null) throw outcomeUnknown('this node does not understand the answer of the leader')
    return answer.value
  }

  private send(name: string, body: unknown, { timeoutMs, ...options }: CallOptions): Promise<unknown> {
    if (this.closed !== null) return Promise.reject(this.closed)
    if (this.calls.size >= limits.controlCallsMax) {
      return Promise.reject(
        new RequestError('overloaded', 'too many cluster requests are waiting for the leader; try again later'),
      )
    }
    return new Promise((resolve, reject) => {
      const requestId = this.requestIds++
      const deadline = this.deps.clock.now() + timeoutMs
      this.calls.set(requestId, { requestId, name, body, ...options, deadline, resolve, reject, asked: null })
      this.ask(requestId)
      this.sweep.begin()
    })
  }

  /** Null, unless no sound member sends such a message. */
  onMessage(message: ControlRequest | ControlResponse): string | null {
    const body = parsed(message.body)
    if (body === null) return 'a body that is not a JSON object'
    if (message.type === 'control-response') this.onResponse(message, body)
    else if ('timeoutMs' in body && typeof body.timeoutMs === 'number' && body.timeoutMs >= 0) {
      const value = 'value' in body ? body.value : undefined
      const behalf = behalfOf('by' in body ? body.by : null)
      const timeoutMs = Math.min(body.timeoutMs, limits.requestTimeoutMsMax)
      this.onRequest(message, { name: message.name, body: value, behalf }, timeoutMs)
    } else return 'a request without a time limit'
    return null
  }

  private onRequest({ from: to, requestId }: ControlRequest, asked: Asked, timeoutMs: number): void {
    void this.perform(asked, timeoutMs).then((answer) => {
      this.deps.outbox.send({
        type: 'control-response',
        from: this.options.id,
        to,
        requestId,
        body: JSON.stringify(answer),
      })
    })
  }

  onLeader(): void {
    for (const call of this.calls.values()) {
      if (call.asked === null) this.ask(call.requestId)
      else this.abandon(call)
    }
  }

  /** The connection to the leader was broken: requests or answers may have been lost. */
  onReconnected(leader: NodeId): void {
    for (const call of this.calls.values()) {
      if (call.asked === leader && call.repeatable) this.askAgain(call)
    }
  }

  close(error: RequestError): void {
    this.closed = error
    this.sweep.stop()
    for (const call of this.calls.values()) call.reject(call.asked === null ? error : outcomeUnknown())
    this.calls.clear()
  }

  private ask(requestId: number): void {
    const call = this.calls.get(requestId)
    if (call === undefined) return
    const leader = this.deps.leaders.leader()
    const timeoutMs = call.deadline - this.deps.clock.now()
    if (leader.kind === 'none' || timeoutMs <= 0) return
    call.asked = leader.kind === 'self' ? this.options.id : leader.leader
    if (leader.kind === 'self') {
      void this.perform(call, timeoutMs).then((answer) => this.answered(call, answer))
      return
    }
    const body = JSON.stringify({ timeoutMs, by: call.behalf, value: call.body })
    this.deps.outbox.send({
      type: 'control-request',
      from: this.options.id,
      to: leader.leader,
      requestId,
      name: call.name,
      body,
    })
  }

  /** The leader that was asked no longer leads, or may not have received the request: it may or may not have carried it out. */
  private abandon(call: Call): void {
    if (call.asked === this.options.id) return
    const leader = this.deps.leaders.leader()
    if (leader.kind === 'other' && leader.leader === call.asked) return
    if (call.repeatable) this.askAgain(call)
    else this.settle(call, () => call.reject(outcomeUnknown()))
  }

  private askAgain(call: Call): void {
    call.asked = null
    call.onAgain?.()
    this.ask(call.requestId)
  }

  /** Never rejects: a failure is an answer too. */
  private async perform({ name, body, behalf }: Asked, timeoutMs: number): Promise<Answer> {
    const { clock, warrants } = this.deps
    const deadline = clock.now() + timeoutMs
    const handler = this.handlers.get(name)
    this.working += 1
    try {
      if (this.working > limits.controlWorkMax)
        throw new RequestError('overloaded', 'the leader is working on too many cluster requests; try again later')
      if (handler === undefined) throw new RequestError('not-ready', `the leader does not know the request ${name}`)
      if (this.deps.leaders.leader().kind !== 'self')
        throw new RequestError('no-leader', 'the node that was asked is not the leader')
      const warrant = warrants.of(handler.needs.length === 0 ? 'node' : behalf, handler.needs)
      // Nothing at all is done for whom may not ask.
      await warrant.use(() => undefined, deadline)
      return { value: await handler.run(body, { timeoutMs: deadline - clock.now(), warrant }) }
    } catch (error) {
      if (error instanceof RequestError)
        return { error: { code: error.code, detail: error.message, facts: { ...error.facts } } }
      // The caller is answered first: a node that has stopped sends nothing.
      clock.nextTurn(() => this.deps.faults.report(error))
      return { error: { code: 'internal', detail: `the leader failed to carry out ${name}; see its log`, facts: {} } }
    } finally {
      this.working -= 1
    }
  }

  private onResponse(message: ControlResponse, answer: object): void {
    const call = this.calls.get(message.requestId)
    if (call !== undefined && call.asked === message.from) this.answered(call, answerOf(answer))
  }

  private answered(call: Call, answer: Answer): void {
    if (!this.calls.has(call.requestId)) return
    const { error, value } = answer
    if (error === undefined) return this.settle(call, () => call.resolve(value))
    if (RETRIED.has(error.code)) {
      call.asked = null
      return
    }
    const code = isErrorCode(error.code) ? error.code : 'internal'
    this.settle(call, () => call.reject(new RequestError(code, error.detail, error.facts)))
  }

  private settle(call: Call, answer: () => void): void {
    this.calls.delete(call.requestId)
    answer()
  }

  /** Returns whether any call still waits. */
  private sweepOnce(): boolean {
    const now = this.deps.clock.now()
    for (const call of this.calls.values()) {
      if (call.deadline <= now)
        this.settle(call, () => call.reject(call.asked === null ? noLeader() : outcomeUnknown()))
      else if (call.asked === null) this.ask(call.requestId)
    }
    return this.calls.size > 0
  }
}

function parsed(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' ? value : null
  } catch {
    return null
  }
}

/** Whoever is not named is a client without a token. */
function behalfOf(json: unknown): Behalf {
  if (json === 'node') return 'node'
  const hash = typeof json === 'object' && json !== null && 'hash' in json ? json.hash : null
  return { hash: typeof hash === 'string' ? hash : null }
}

function answerOf(body: object): Answer {
  const error: unknown = 'error' in body ? body.error : undefined
  if (error === undefined) return 'value' in body ? { value: body.value } : {}
  const fields = typeof error === 'object' && error !== null ? error : {}
  const code = 'code' in fields && typeof fields.code === 'string' ? fields.code : 'internal'
  const detail = 'detail' in fields && typeof fields.detail === 'string' ? fields.detail : 'the leader gave no reason'
  const facts = 'facts' in fields && typeof fields.facts === 'object' ? fields.facts : null
  return { error: { code, detail, facts: { ...facts } } }
}

function noLeader(): RequestError {
  return new RequestError('no-leader', 'no leader accepted the request in time; nothing was changed')
}

function outcomeUnknown(cause = 'the leader was asked, but did not answer in time'): RequestError {
  return new RequestError('outcome-unknown', `${cause}; look at GET /cluster before you repeat it`)
}
