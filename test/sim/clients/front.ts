import type { AuthAccess, Bearer, Caller, Guard } from '../../../src/api/services.ts'
import { RequestError } from '../../../src/lib/errors.ts'
import { limits } from '../../../src/limits.ts'
import { allows, type AccessToken, type Command, type Key, type Need } from '../../../src/kv/index.ts'
import type { NodeServices } from '../../../src/node/node.ts'
import { pastRevisionOf, type Answer, type ClientCommand, type Request } from '../../../src/checker/operation.ts'
import { neededToRead } from '../history/needs.ts'
import type { World } from '../world/world.ts'

/** How a client asks. */
export interface Asking {
  readonly timeoutMs: number
  readonly caller: Caller
  /** The hash of the secret that it sends; null: it sends none. Undefined in a run without tokens. */
  readonly secret: string | null | undefined
  /** The wall clock of the node. */
  readonly wall: () => number
}

const LIST_PAGE = 3
const NOTHING: readonly Need[] = []

/** Asks a node as its HTTP server does. */
export async function answerOf(request: Request, services: NodeServices, asking: Asking): Promise<Answer> {
  try {
    return await rawAnswerOf(request, services, asking)
  } catch (error) {
    const refusal = pastRevisionOf(request) === null ? null : refusalOf(error)
    if (refusal === null) throw error
    return refusal
  }
}

/** A client that the node has let in. */
export class Admitted implements Bearer {
  readonly hash: string | null
  /** This node did not know its token when the request came. */
  readonly isLate: boolean
  private readonly auth: AuthAccess
  private readonly found: AccessToken | null

  constructor(auth: AuthAccess, hash: string | null, found: AccessToken | null) {
    this.auth = auth
    this.hash = hash
    this.found = found
    this.isLate = found === null && hash !== null
  }

  get token(): AccessToken | null {
    return this.found ?? (this.hash === null ? null : this.auth.tokenWith(this.hash))
  }

  /** Whether it may read `key`, by the present state of the node. */
  mayRead(key: Key): boolean {
    const { table } = this.auth
    if (table === null) return true
    const { token } = this
    return token !== null && allows(table.rightsOf(token), { access: 'read', key })
  }
}

/** A client that waits for so long. */
export class LeavingCaller implements Caller {
  private readonly world: World
  private readonly leavesAt: number

  constructor(world: World, stayMs: number) {
    this.world = world
    this.leavesAt = world.now() + stayMs
  }

  get isGone(): boolean {
    return this.world.now() >= this.leavesAt
  }
}

/** Its client, whose token the node may have yet to learn of. */
export class Sender implements Caller {
  readonly bearer: Bearer | null
  private readonly caller: Caller | null

  constructor(caller: Caller | null, by: Admitted) {
    this.caller = caller
    this.bearer = by.isLate ? by : null
  }

  get isGone(): boolean {
    return this.caller?.isGone === true
  }
}

/** The client with this secret, which may do all of `needs`; null: it needs access to keys. Rejects with `RequestError`. */
export async function admit(
  { auth }: NodeServices,
  secret: string | null,
  needs: readonly Need[] | null,
  caller: Caller | null,
): Promise<Admitted> {
  // Without tokens, whoever reads or writes keys is judged when that takes effect.
  if (needs === null && auth.table === null) return new Admitted(auth, secret, null)
  const { token, denied } = await auth.admit(secret, needs ?? NOTHING, () => limits.requestTimeoutMsDefault, caller)
  if (denied !== undefined) throw denied
  return new Admitted(auth, secret, token)
}

function refusalOf(error: unknown): Answer | null {
  if (!(error instanceof RequestError) || error.code !== 'compacted') return null
  const revision = error.facts['compactRevision']
  return typeof revision === 'number' ? { type: 'compacted', revision } : null
}

async function rawAnswerOf(request: Request, services: NodeServices, asking: Asking): Promise<Answer> {
  const { timeoutMs, secret, caller } = asking
  if (request.type === 'write') {
    if (secret === undefined || request.command.type === 'auth-bootstrap')
      return write(request.command, services, timeoutMs, { ofLock: caller })
    const by = await letIn(request.command, services, asking, secret)
    const command = timed(request.command, asking.wall)
    const { token } = by
    const senders = { ofLock: new Sender(caller, by), ofOthers: new Sender(null, by) }
    return write(token === null ? command : { ...command, token: token.id }, services, timeoutMs, senders)
  }
  const guard = secret === undefined ? null : await guardOf(neededToRead(request), services, secret, caller)
  const guarded = guard === null ? {} : { guard }
  if (request.type === 'scan') return scan(request, services, { timeoutMs, ...guarded })
  const { consistency, minRevision } = request
  const maxStalenessMs = request.maxStalenessMs ?? null
  const options = { consistency, minRevision, maxStalenessMs, timeoutMs, ...guarded, ...pastOf(request) }
  const { record, context } = await services.keys.get(request.key, options)
  return { type: 'get', record, revision: context.revision, given: context.consistency }
}

async function write(
  command: ClientCommand,
  { leases, keys }: NodeServices,
  timeoutMs: number,
  { ofLock, ofOthers }: { readonly ofLock: Caller; readonly ofOthers?: Caller },
): Promise<Answer> {
  const { result, context } =
    command.type === 'lock-acquire'
      ? await leases.acquire(command, timeoutMs, ofLock)
      : await keys.execute(command, timeoutMs, ofOthers)
  return { type: 'write', result, revision: context.revision }
}

/** A guard for what takes `need`, once the client is let in. */
export async function guardOf(
  need: Need,
  services: NodeServices,
  secret: string | null,
  caller: Caller | null,
): Promise<Guard> {
  return services.auth.guard(await admit(services, secret, null, caller), [need])
}

/** Admits the client of a command as far as the front itself decides about it. */
async function letIn(
  command: ClientCommand,
  services: NodeServices,
  { timeoutMs, caller }: Asking,
  secret: string | null,
): Promise<Admitted> {
  const { auth } = services
  const needs = neededAtTheDoor(command)
  const by = await admit(services, secret, needs, caller)
  // A right that the front asks for is confirmed, once this node knows of tokens.
  if (needs !== null && auth.table !== null) {
    await auth.confirm(timeoutMs, caller)
    auth.guard(by, needs).check()
  }
  return by
}

/** Null: the keys decide. */
function neededAtTheDoor({ type }: Command): readonly Need[] | null {
  switch (type) {
    case 'compaction':
    case 'retention':
      return [{ right: 'cluster:admin' }]
    case 'role-put':
    case 'role-delete':
    case 'token-create':
    case 'token-delete':
      return [{ right: 'auth:admin' }]
    default:
      return null
  }
}

/** A client says how long a token lasts; the node that makes it knows the time. */
function timed(command: ClientCommand, wall: () => number): ClientCommand {
  if (command.type !== 'token-create' || command.created.expiresAt === null) return command
  const expiresAt = Math.floor(wall()) + command.created.expiresAt
  return { ...command, created: { ...command.created, expiresAt } }
}

function pastOf({ revision }: { readonly revision?: number }): { readonly revision?: number } {
  return revision === undefined ? {} : { revision }
}

async function scan(
  request: Extract<Request, { type: 'scan' }>,
  services: NodeServices,
  { timeoutMs, guard }: { readonly timeoutMs: number; readonly guard?: Guard },
): Promise<Answer> {
  const { start, end, reverse, consistency } = request
  const guarded = guard === undefined ? {} : { guard }
  const options = { consistency, minRevision: null, maxStalenessMs: null, timeoutMs, ...guarded, ...pastOf(request) }
  const walk = await services.keys.scan({ start, end, after: null, reverse }, options)
  try {
    const items = []
    for (;;) {
      const page = await walk.next(LIST_PAGE, 1_000_000)
      guard?.check()
      items.push(...page.items)
      if (page.done) return { type: 'scan', items, revision: walk.context.revision, given: walk.context.consistency }
    }
  } finally {
    await walk.close()
  }
}
