import type { ReadOptions } from '../../../src/api/services.ts'
import type { Consistency } from '../../../src/api/keys.ts'
import type { Answer, Request } from '../../../src/checker/operation.ts'
import type { Key, Need } from '../../../src/kv/index.ts'
import { isVoter } from '../../../src/raft/index.ts'
import type { NodeServices } from '../../../src/node/node.ts'
import type { CompactionView, LeasesView, LeaseView, LocksView, LockView, Views } from '../history/view.ts'
import type { Machine } from '../machines/machine.ts'
import type { SimulationOptions } from '../world/options.ts'
import { Client, type ClientDependencies, type Drawn } from './client.ts'
import { admit, type Admitted, type Asking } from './front.ts'

export interface InspectorDependencies extends Omit<ClientDependencies, 'history'> {
  readonly views: Views
}

type Inspected = LeasesView | LeaseView | LockView | LocksView | CompactionView
type WithoutPage<One extends Inspected> = One extends Inspected ? Omit<One, 'page'> : never
type Asked = WithoutPage<Inspected>
type Context = { readonly revision: number; readonly consistency: Consistency }

const TYPES: readonly Asked['type'][] = ['leases', 'lease', 'lease', 'lock', 'lock', 'locks', 'compaction']
const LIMITS = [1, 2, 3, 100]
/** Ids that clients choose for their leases. */
const CHOSEN_IDS = 3
const LOCKS = 2
/** How many leases an inspector keeps in mind; those that are gone are among them. */
const KNOWN_MAX = 6
/** How often one is asked that has no vote, or whose voters are just being changed, if there is one. */
const LEARNER_SHARE = 0.4
/** An inspector rests for so many times as long as another client. */
const PAUSE_SHARE = 2

/**
 * A client that looks at leases and locks, one by one and page after page, and at how far history reaches: at any node, and with its token where
 * there are tokens.
 */
export class Inspector extends Client {
  private readonly views: Views
  private readonly asked = new WeakMap<Request, Asked>()
  /** Where the next page begins; null: where there is none. */
  private next: Asked | null = null
  /** The revision of the page before it. */
  private nextFrom = 0
  private readonly known: number[] = []

  constructor(id: number, options: SimulationOptions, { views, ...rest }: InspectorDependencies) {
    super(
      id,
      { ...options, repeatShare: 0, thinkMs: options.thinkMs * PAUSE_SHARE },
      { ...rest, history: views.operations },
    )
    this.views = views
  }

  protected override drawRequest(): Drawn {
    const { random, next } = this
    const goesOn = next !== null && random.chance(0.7)
    const asked = goesOn ? next : this.drawView()
    const consistency = random.pick<Consistency>(['linearizable', 'linearizable', 'lease', 'stale'])
    // Pages may come from different nodes. No page of locks shows less than the one before.
    const follows = goesOn && asked.type === 'locks'
    const isBounded = consistency === 'stale' && !follows && random.chance(0.4)
    const minRevision = follows ? this.nextFrom : !isBounded && random.chance(0.1) ? this.lastRevision : null
    const request: Request = { type: 'get', key: nameOf(asked), consistency, minRevision }
    const { electionTimeoutMsMax } = this.options.node
    const given = isBounded ? { ...request, maxStalenessMs: random.pick([1, 5]) * electionTimeoutMsMax } : request
    this.next = null
    this.asked.set(given, asked)
    return { request: given, mark: null, needs: [neededFor(asked)] }
  }

  /** Any consistency that the node gives, and what it shows; without records. */
  protected override async answerOf(request: Request, services: NodeServices, asking: Asking): Promise<Answer> {
    const asked = this.asked.get(request)
    if (request.type !== 'get' || asked === undefined) throw new Error('an inspector asks for what it has drawn')
    const { secret, caller, timeoutMs } = asking
    const needs = [neededFor(asked)]
    const by = secret === undefined ? null : await admit(services, secret, doorOf(asked), caller)
    const guard = by === null ? {} : { guard: services.auth.guard(by, needs) }
    const { consistency, minRevision, maxStalenessMs = null } = request
    const options: ReadOptions = { consistency, minRevision, maxStalenessMs, timeoutMs, caller, ...guard }
    const { revision, consistency: given } = await this.look({ request, services, options, by }, asked)
    return { type: 'get', record: null, revision, given }
  }

  /** Often one that is only learning, or that is in the middle of a change of voters. */
  protected override pickMachine(machines: readonly Machine[]): Machine {
    const { random } = this
    const chosen = random.chance(LEARNER_SHARE)
      ? machines.filter(({ id, view }) => {
          if (view === null) return false
          const { membership } = view.effective
          return membership.configs.length > 1 || (membership.nodes.has(id) && !isVoter(membership, id))
        })
      : []
    return super.pickMachine(chosen.length > 0 ? chosen : machines)
  }

  private look(call: Call, asked: Asked): Promise<Context> {
    switch (asked.type) {
      case 'leases':
        return this.leases(call, asked)
      case 'lease':
        return this.lease(call, asked)
      case 'lock':
        return this.lock(call, asked)
      case 'locks':
        return this.locks(call, asked)
      case 'compaction':
        return this.compaction(call, asked)
    }
  }

  private async leases({ request, services, options }: Call, asked: Omit<LeasesView, 'page'>): Promise<Context> {
    const { after, limit } = asked
    const { context, ...page } = await services.leases.list({ after, limit }, options)
    this.views.pages.set(request, { ...asked, page })
    for (const { id } of page.items) this.keep(id)
    const last = page.items.at(-1)
    if (page.more && last !== undefined) this.goOn({ ...asked, after: last.id }, context)
    return context
  }

  /** With the keys that the client may read, as the front does it: the first page that has any. */
  private async lease({ request, services, options, by }: Call, asked: Omit<LeaseView, 'page'>): Promise<Context> {
    const { id, limit } = asked
    const mayRead = (key: Key): boolean => by?.mayRead(key) ?? true
    for (let { after } = asked; ;) {
      const { lease, context } = await services.leases.get(id, { after, limit }, options)
      const { items = [], more = false } = lease?.keys ?? {}
      const keys = items.filter(mayRead)
      const last = items.at(-1)
      if (keys.length === 0 && more && last !== undefined) {
        after = last
        continue
      }
      const use = lease?.lease.use
      const lock = use !== undefined && 'lock' in use && mayRead(use.lock) ? use.lock : null
      const told = { lease: lease?.lease ?? null, remainingMs: lease?.remainingMs ?? 0, keys, more, lock }
      this.views.pages.set(request, { ...asked, after, page: told })
      if (more && last !== undefined) this.goOn({ ...asked, after: last }, context)
      return context
    }
  }

  private async lock({ request, services, options }: Call, asked: Omit<LockView, 'page'>): Promise<Context> {
    const { name, limit } = asked
    const { context, ...page } =
      limit > 0
        ? await services.leases.lockQueue(name, limit, options)
        : { waiters: null, ...(await services.leases.lock(name, options)) }
    this.views.pages.set(request, { ...asked, page })
    if (page.lock !== null) this.keep(page.lock.lease)
    return context
  }

  private async locks({ request, services, options }: Call, asked: Omit<LocksView, 'page'>): Promise<Context> {
    const { start, end, after, limit } = asked
    const { context, ...page } = await services.leases.locks({ start, end }, { after, limit }, options)
    this.views.pages.set(request, { ...asked, page })
    const last = page.items.at(-1)
    if (page.more && last !== undefined) this.goOn({ ...asked, after: last.name }, context)
    return context
  }

  private async compaction(
    { request, services, options }: Call,
    asked: Omit<CompactionView, 'page'>,
  ): Promise<Context> {
    const { status, context } = await services.history.status(options)
    this.views.pages.set(request, { ...asked, page: status })
    return context
  }

  private goOn(next: Asked, { revision }: Context): void {
    this.next = next
    this.nextFrom = revision
  }

  private keep(id: number): void {
    if (this.known.includes(id)) return
    this.known.push(id)
    if (this.known.length > KNOWN_MAX) this.known.shift()
  }

  private drawView(): Asked {
    const { random, known, options } = this
    const type = options.leaseClients === 0 ? 'compaction' : random.pick(TYPES)
    const limit = random.pick(LIMITS)
    switch (type) {
      case 'leases':
        return { type, after: null, limit }
      case 'lease': {
        const isChosen = known.length === 0 || random.chance(0.3)
        const id = isChosen ? random.integer(1, CHOSEN_IDS + 1) : random.pick(known)
        return { type, id, after: null, limit }
      }
      case 'lock':
        return { type, name: lockNamed(random.integer(0, LOCKS)), limit: random.chance(0.6) ? limit : 0 }
      case 'locks': {
        const [start, end] = random.pick<[Key | null, Key | null]>([
          [null, null],
          ['l' as Key, 'm' as Key],
          [lockNamed(0), lockNamed(1)],
          [lockNamed(1), null],
        ])
        return { type, start, end, after: null, limit }
      }
      case 'compaction':
        return { type }
    }
  }
}

interface Call {
  readonly request: Request
  readonly services: NodeServices
  readonly options: ReadOptions
  /** Null: a run without tokens. */
  readonly by: Admitted | null
}

function lockNamed(number: number): Key {
  return `l${number}` as Key
}

/** What the view needs; the routes of `src/http` ask for the same. */
function neededFor(asked: Asked): Need {
  switch (asked.type) {
    case 'leases':
    case 'lease':
      return { access: 'read', any: true }
    case 'lock':
      return { access: 'read', key: asked.name }
    case 'locks':
      return { access: 'read', range: { start: asked.start, end: asked.end } }
    case 'compaction':
      return { right: 'cluster:read' }
  }
}

/** What the front asks for before it does anything; null: the node decides. */
function doorOf(asked: Asked): readonly Need[] | null {
  return asked.type === 'compaction' ? [neededFor(asked)] : null
}

/** How the request is called in a report. */
function nameOf(asked: Asked): Key {
  const name = asked.type === 'lease' ? asked.id : asked.type === 'lock' ? asked.name : null
  return (name === null ? `/${asked.type}` : `/${asked.type}s/${name}`) as Key
}
