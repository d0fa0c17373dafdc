import { RequestError } from '../../../src/lib/errors.ts'
import type { Key } from '../../../src/kv/index.ts'
import type { Watch, WatchOptions } from '../../../src/api/services.ts'
import type { NodeServices } from '../../../src/node/node.ts'
import {
  describeSession,
  reachedBy,
  type WatchEnd,
  type WatchInterest,
  type WatchSession,
} from '../history/watch-session.ts'
import { neededFor } from '../history/needs.ts'
import type { Machine } from '../machines/machine.ts'
import { guardOf } from './front.ts'
import { guardedWatch } from './guarded-watch.ts'
import type { Secrets } from './keyring.ts'
import type { Draw } from '../world/draw.ts'
import type { SimulationOptions } from '../world/options.ts'
import type { SimProcess } from '../world/process.ts'
import { Violation } from '../world/violation.ts'
import type { World } from '../world/world.ts'

export interface WatcherDependencies {
  readonly world: World
  readonly machines: readonly Machine[]
  readonly sessions: WatchSession[]
  /** Null: there are no tokens in this run. */
  readonly secrets: Secrets | null
}

/** Where a watcher goes on. */
interface Place {
  readonly revision: number
  readonly clusterId: string
}

const NO_END: Pick<WatchEnd, 'compactRevision'> = { compactRevision: null }

/**
 * Watches through one node after the other, each time from where it is: it leaves, its node dies, it takes what it is told at once or only
 * now and then. It also loses the end of what it was told, as a client does that dies before it has used it.
 */
export class Watcher {
  stopped = false
  private readonly id: number
  private readonly options: SimulationOptions
  private readonly deps: WatcherDependencies
  private readonly random: Draw
  private readonly interest: WatchInterest
  private place: Place | null = null
  /** It stays where it is from now on, and takes everything at once. */
  private isStaying = false

  constructor(id: number, options: SimulationOptions, dependencies: WatcherDependencies) {
    this.id = id
    this.options = options
    this.deps = dependencies
    this.random = dependencies.world.random.fork()
    this.interest = this.drawInterest()
  }

  async run(): Promise<void> {
    const { world, machines } = this.deps
    while (!this.stopped) {
      await world.sleep(this.random.exponential(this.options.thinkMs))
      const session = await this.watch(this.random.pick(machines))
      const reached = reachedBy(session)
      if (session.end?.code === 'compacted') this.place = null
      else if (reached !== null && session.clusterId !== null)
        this.place = { revision: reached, clusterId: session.clusterId }
    }
  }

  stay(): void {
    this.isStaying = true
  }

  private watch(machine: Machine): Promise<WatchSession> {
    const { world, sessions } = this.deps
    const from = this.drawPlace()
    const secret = this.deps.secrets?.draw()
    const session: WatchSession = {
      watcher: this.id,
      machine: machine.name,
      interest: this.interest,
      since: from?.revision ?? null,
      sinceCluster: from?.clusterId ?? null,
      invokedAt: world.now(),
      ...(secret === undefined ? {} : { secret }),
      beganAt: Infinity,
      endedAt: Infinity,
      clusterId: null,
      began: null,
      items: [],
      end: null,
      isDue: false,
    }
    sessions.push(session)
    return new Promise((resolve) => {
      const end = (how: WatchEnd): void => {
        if (session.end !== null) return
        session.end = how
        session.endedAt = world.now()
        if (secret !== undefined) this.deps.secrets?.refused(secret, how.code)
        if (world.isTracing) world.note(`w${this.id}`, describeSession(session))
        resolve(session)
      }
      const { process } = machine
      if (process === null) return end({ code: 'connection-refused', ...NO_END })
      process.whenEnded(() => end({ code: 'connection-reset', ...NO_END }))
      process.deliver('request', () => {
        const { services } = machine
        if (services === null) return end({ code: 'connection-refused', ...NO_END })
        this.follow(session, services, { machine, process }).then(end, (error: unknown) => {
          if (!process.alive) return
          session.clusterId ??= machine.clusterId
          if (error instanceof RequestError) return end(endOf(error))
          world.fail(new Violation('watch', `${machine.name} rejects with ${String(error)}`))
        })
      })
    })
  }

  private async follow(
    session: WatchSession,
    services: NodeServices,
    { machine, process }: { readonly machine: Machine; readonly process: SimProcess },
  ): Promise<WatchEnd> {
    const { random, options } = this
    const { since, secret } = session
    const asked = { ...this.interest, since, timeoutMs: options.timeoutMs }
    const watch = await (secret === undefined ? services.watches.open(asked) : openGuarded(asked, services, secret))
    session.clusterId = machine.clusterId
    session.began = watch.context.revision
    session.beganAt = this.deps.world.now()
    const bytesMax = random.pick([1, 100, 100_000])
    const isSlow = random.chance(0.3)
    const losesEnd = random.chance(0.2)
    this.leaveLater(process, () => watch.close())
    for (;;) {
      const items = await watch.next(bytesMax)
      if (!process.alive || session.end !== null) return { code: 'connection-reset', ...NO_END }
      session.items.push(...items)
      if (items.length === 0) {
        if (losesEnd) session.items.splice(random.integer(0, session.items.length + 1))
        return { code: 'left', ...NO_END }
      }
      if (isSlow && !this.isStaying) await this.pause(process)
    }
  }

  private leaveLater(process: SimProcess, leave: () => void): void {
    const { world } = this.deps
    world.after(this.random.exponential(this.random.pick([30, 300, 3_000])), () => {
      if (this.isStaying || !process.alive) return
      process.deliver('request', leave)
    })
  }

  private pause(process: SimProcess): Promise<void> {
    const { world } = this.deps
    const ms = this.random.exponential(100)
    return new Promise((resolve) => world.after(ms, () => process.deliver('request', resolve)))
  }

  /** Mostly where it is; sometimes it begins anew, or sees again what it has seen. */
  private drawPlace(): Place | null {
    const { random, place } = this
    if (place === null || random.chance(0.05)) return null
    const back = random.chance(0.1) ? random.integer(0, 30) : 0
    return { ...place, revision: Math.max(0, place.revision - back) }
  }

  private drawInterest(): WatchInterest {
    const { random } = this
    const key = (): Key => `k${random.integer(0, this.options.keys)}` as Key
    const kinds = random.pick([
      { puts: true, deletes: true },
      { puts: true, deletes: true },
      { puts: true, deletes: false },
      { puts: false, deletes: true },
    ])
    const [start, end] = [random.chance(0.6) ? null : key(), random.chance(0.6) ? null : key()]
    const range = start !== null && end !== null && start > end ? { start: end, end: start } : { start, end }
    return { keys: random.chance(0.3) ? key() : range, ...kinds, wantsPrevious: random.chance(0.5) }
  }
}

async function openGuarded(asked: WatchOptions, services: NodeServices, secret: string | null): Promise<Watch> {
  const guard = await guardOf(neededFor(asked.keys), services, secret, null)
  return guardedWatch(await services.watches.open({ ...asked, guard }), guard, services.auth)
}

function endOf({ code, message, facts }: RequestError): WatchEnd {
  const revision = facts['compactRevision']
  return { code, message, compactRevision: typeof revision === 'number' ? revision : null }
}
