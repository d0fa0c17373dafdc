import type { ReadOptions } from '../../../src/api/services.ts'
import type { Answer, Request } from '../../../src/checker/operation.ts'
import type { Consistency } from '../../../src/api/keys.ts'
import type { NodeServices } from '../../../src/node/node.ts'
import { Client, type ClientDependencies, type Drawn } from './client.ts'
import { guardOf, type Asking } from './front.ts'
import { neededToRead } from '../history/needs.ts'
import type { LeasesView, VersionsView, Views } from '../history/view.ts'
import type { SimulationOptions } from '../world/options.ts'

export interface ViewerDependencies extends Omit<ClientDependencies, 'history'> {
  readonly views: Views
}

type Reading = Exclude<Request, { type: 'write' }>
type Asked = Omit<VersionsView, 'page'> | Omit<LeasesView, 'page'>

const LIMITS = [1, 2, 3, 100]
/** A viewer rests for so many times as long as another client. */
const PAUSE_SHARE = 3
const PAGE_BYTES_MAX = 1_000_000

/** A client that looks at the versions of keys and at the leases, page after page, each from another node. */
export class Viewer extends Client {
  private readonly views: Views
  private readonly asked = new WeakMap<Request, Asked>()
  /** Where the next page begins; null: where there is none. */
  private next: Asked | null = null

  constructor(id: number, options: SimulationOptions, { views, ...rest }: ViewerDependencies) {
    super(
      id,
      { ...options, repeatShare: 0, thinkMs: options.thinkMs * PAUSE_SHARE },
      { ...rest, history: views.operations },
    )
    this.views = views
  }

  protected override drawRequest(): Drawn {
    const { random } = this
    const asked = this.next !== null && random.chance(0.7) ? this.next : this.drawView()
    const consistency = random.pick<Consistency>(['linearizable', 'lease', 'stale'])
    const request: Reading =
      asked.type === 'versions'
        ? { type: 'get', key: asked.key, consistency, minRevision: null }
        : { type: 'scan', start: null, end: null, reverse: false, consistency }
    this.next = null
    this.asked.set(request, asked)
    return { request, mark: null }
  }

  /** Any consistency that the node gives, and what it shows; without records. */
  protected override async answerOf(request: Request, services: NodeServices, asking: Asking): Promise<Answer> {
    const asked = this.asked.get(request)
    if (request.type === 'write' || asked === undefined) throw new Error('a viewer asks for what it has drawn')
    const { secret, caller, timeoutMs } = asking
    const guard = secret === undefined ? {} : { guard: await guardOf(neededToRead(request), services, secret, caller) }
    const { consistency } = request
    const options: ReadOptions = { consistency, minRevision: null, maxStalenessMs: null, timeoutMs, caller, ...guard }
    const { revision, consistency: given } = await (asked.type === 'versions'
      ? this.versions(request, asked, services, options)
      : this.leases(request, asked, services, options))
    if (asked.type === 'versions') return { type: 'get', record: null, revision, given }
    return { type: 'scan', items: [], revision, given }
  }

  private async versions(
    request: Request,
    asked: Omit<VersionsView, 'page'>,
    { history }: NodeServices,
    options: ReadOptions,
  ) {
    const { key, before, limit } = asked
    const { context, ...page } = await history.versions(key, { before, limit, bytesMax: PAGE_BYTES_MAX }, options)
    this.views.pages.set(request, { ...asked, page })
    const last = page.items.at(-1)
    this.next = page.done || last === undefined ? null : { ...asked, before: last.revision }
    return context
  }

  private async leases(
    request: Request,
    asked: Omit<LeasesView, 'page'>,
    { leases }: NodeServices,
    options: ReadOptions,
  ) {
    const { after, limit } = asked
    const { context, ...page } = await leases.list({ after, limit }, options)
    this.views.pages.set(request, { ...asked, page })
    const last = page.items.at(-1)
    this.next = !page.more || last === undefined ? null : { ...asked, after: last.id }
    return context
  }

  /** Who may see leases is not a matter of keys, so they are left out where there are tokens. */
  private drawView(): Asked {
    const { random, options } = this
    const limit = random.pick(LIMITS)
    const seesLeases = options.leaseClients > 0 && options.auth === null
    if (seesLeases && random.chance(0.4)) return { type: 'leases', after: null, limit }
    return { type: 'versions', key: this.drawKey(), before: null, limit }
  }
}
