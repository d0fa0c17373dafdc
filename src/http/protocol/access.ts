import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Admission, AuthAccess, Bearer, Guard } from '../../api/services.ts'
import { allows, type AccessToken, type Key, type Need } from '../../kv/index.ts'
import type { RequestError } from '../../lib/errors.ts'
import { toError } from '../../lib/to-error.ts'
import { ApiResponse, callerOf } from './api-response.ts'
import { Credentials } from './credentials.ts'
import { timeoutIn } from './parameters.ts'
import type { QueryText } from './query.ts'
import type { TokenBudgets } from './token-budgets.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What its client may do. */
    readonly access: Access
    /** The same, once its token was looked at; null: none is needed. */
    admitted: Access | null
  }
}

/** What a client may do with the token that it has sent, if it has sent one. */
export class Access implements Bearer {
  readonly hash: string | null
  private readonly auth: AuthAccess
  /** The token as it was when the request came. It is kept when it is revoked: then whoever has it may do nothing. */
  private readonly found: AccessToken | null

  constructor(auth: AuthAccess, hash: string | null, found: AccessToken | null) {
    this.auth = auth
    this.hash = hash
    this.found = found
  }

  /** Null: there is none, or this node does not know it yet. */
  get token(): AccessToken | null {
    return this.found ?? (this.hash === null ? null : this.auth.tokenWith(this.hash))
  }

  /** A guard for an answer that takes `needs`, also for one that lasts. */
  guard(needs: readonly Need[]): Guard {
    return this.auth.guard(this, needs)
  }

  /** Whether the client may read `key`, by the present state of this node. */
  mayRead(key: Key): boolean {
    const { table } = this.auth
    if (table === null) return true
    const { token } = this
    return token !== null && allows(table.rightsOf(token), { access: 'read', key })
  }

  /** Makes sure that this is still so: that this node knows of every revocation that was answered before. Rejects with `RequestError`. */
  async confirm(needs: readonly Need[], timeoutMs: number, reply: FastifyReply): Promise<void> {
    if (this.auth.table === null) return
    await this.auth.confirm(timeoutMs, callerOf(reply) ?? null)
    this.guard(needs).check()
  }
}

const NOTHING: readonly Need[] = []
const NOBODY: Admission = { token: null }

export interface GuardOptions {
  readonly budgets: TokenBudgets
  /** Milliseconds of the wall clock. */
  readonly wall: () => number
}

/** Refuses requests whose client may not make them, before their body is read. What depends on keys is decided where the keys are known. */
export function guardRoutes(app: FastifyInstance, auth: AuthAccess, { budgets, wall }: GuardOptions): void {
  const credentials = new Credentials(wall)
  const everybody = new Access(auth, null, null)
  const known = new WeakMap<AccessToken, Access>()
  const accessWith = (hash: string | null, token: AccessToken | null): Access => {
    if (token === null) return hash === null ? everybody : new Access(auth, hash, null)
    const access = known.get(token) ?? new Access(auth, token.hash, token)
    known.set(token, access)
    return access
  }
  app.decorateRequest('admitted', null)
  app.decorateRequest('access', {
    getter() {
      return this.admitted ?? everybody
    },
  })
  app.addHook('onRequest', (request, reply, done) => {
    const { operation } = request.routeOptions.config
    // Without it the counter of answers would have to look for the route again.
    if (reply.raw instanceof ApiResponse) reply.raw.operation = operation ?? null
    const wanted = operation?.access ?? 'open'
    if (wanted === 'open') return done()
    const hash = credentials.of(request.raw)
    // Without tokens, whoever reads or writes keys is judged when that takes effect.
    const isOpen = wanted === 'keys' && auth.table === null
    if (isOpen && hash === null) return done()
    const needs = typeof wanted === 'object' ? wanted.needs : NOTHING
    const enter = ({ token, denied }: Admission): RequestError | null => {
      const access = accessWith(hash, token)
      request.admitted = access
      if (token === null && hash !== null && reply.raw instanceof ApiResponse) reply.raw.bearer = access
      // A request that is denied is a request.
      return (token === null ? null : budgets.take(token, request, reply)) ?? denied ?? null
    }
    const timeoutMs = (): number => timeoutIn(request.query as QueryText)
    const admission = isOpen ? NOBODY : auth.admit(hash, needs, timeoutMs, callerOf(reply) ?? null)
    const isConfirmed = typeof wanted === 'object' && wanted.isConfirmed
    if (!(admission instanceof Promise) && !isConfirmed) return done(enter(admission) ?? undefined)
    void tell(done, async () => {
      const refusal = enter(await admission)
      if (refusal !== null) throw refusal
      if (isConfirmed) await request.access.confirm(needs, timeoutMs(), reply)
    })
  })
}

/** Calls `done` once `work` has ended. Never rejects. */
async function tell(done: (error?: Error) => void, work: () => Promise<void>): Promise<void> {
  let failure: Error | undefined
  try {
    await work()
  } catch (error) {
    failure = toError(error)
  }
  done(failure)
}
