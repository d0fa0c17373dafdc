import type { IncomingHttpHeaders } from 'node:http'
import { limits } from '../limits.ts'
import { problemFrom, type Problem } from './errors.ts'
import { changesSomething, type Method } from './exchange.ts'
import type { ElsewhereReason } from './options.ts'

/* When a request that was not served is sent again, to whom, and how long the client waits before that. */

/** A failure on which another attempt may improve. */
export interface Obstacle {
  readonly reason: ElsewhereReason
  /** The request may have been carried out all the same. */
  readonly mayHaveHappened: boolean
  /** How much of it was certainly carried out: that is in many changes, and has ended early. */
  readonly progress: number
  /** The same server will not do it later either. */
  readonly isLasting: boolean
}

/** Nothing was done, and it may be done later, here or elsewhere. */
const later = new Set(['no-leader', 'transferring', 'shutting-down', 'not-initialized', 'overloaded'])
/** A server that cannot show this now: others may. A change with such an answer waits for something that asking again does not bring. */
const laterToRead = new Set(['not-ready'])
/** Nothing was done, and this server will not do it. */
const never = new Set(['removed', 'https-required'])
/** The time was too short, or only a part was done: another attempt completes it, if the request may be repeated. */
const unfinished = new Set(['outcome-unknown', 'read-timeout', 'deletion-unfinished'])
/** What a proxy answers when it has lost its server. */
const gatewayStatuses = new Set([502, 503, 504])

/** Whether an answer that is not a node's says that the node could not be reached behind it. */
export function isOfGateway(status: number): boolean {
  return gatewayStatuses.has(status)
}

/** Whether whoever answers says that it is a node. Each does in its answers about data, but not in every refusal. */
export function namesNode({ headers }: { readonly headers: IncomingHttpHeaders }): boolean {
  return headers['quorate-served-by'] !== undefined
}

/** Whether a refusal with this code is one for good, and of one server: it says nothing about others. */
export function isOfOneServer(code: string): boolean {
  return never.has(code)
}

/** Null: the answer is final. `parting`: codes with which a server ends a request of this kind that it has carried out in part. */
export function obstacleIn(
  status: number,
  body: Buffer,
  isRepeatable: boolean,
  { parting, method }: { readonly parting: readonly string[]; readonly method: Method },
): Obstacle | null {
  if (status < 400) return null
  const problem = problemFrom(body)
  const code = problem?.code ?? null
  const progress = progressIn(problem)
  const obstacle = (mayHaveHappened: boolean): Obstacle => ({
    reason: { kind: 'answered', code: code ?? `status-${status}` },
    mayHaveHappened,
    progress,
    isLasting: code !== null && isOfOneServer(code),
  })
  if (code === null) return isRepeatable && isOfGateway(status) ? obstacle(true) : null
  if ((progress > 0 || parting.includes(code)) && !isRepeatable) return null
  if (unfinished.has(code)) return isRepeatable ? obstacle(true) : null
  const isLater = later.has(code) || (!changesSomething(method) && laterToRead.has(code))
  return isLater || isOfOneServer(code) ? obstacle(false) : null
}

/** What a request that is many changes had done when it failed: a deletion in chunks, an import. 0: nothing, or it is not known. */
export function progressIn(problem: Problem | null): number {
  const done = ['deleted', 'chunks', 'imported'].map((fact) => problem?.[fact])
  return Math.max(0, ...done.filter((count) => typeof count === 'number'))
}

/** How long the server asks to be left alone. */
export function retryAfterMs(headers: IncomingHttpHeaders): number {
  const seconds = headers['retry-after'] ?? ''
  return /^[0-9]{1,6}$/.test(seconds) ? Number(seconds) * 1000 : 0
}

/**
 * The pause after so many failures in a row, from 0 on: twice as long each time, up to a maximum, and somewhere in the upper half of
 * that, so that clients that failed together do not come back together.
 */
export function pauseMsAfter(failures: number): number {
  const most = Math.min(limits.clientPauseMsMax, limits.clientPauseMsMin * 2 ** Math.min(failures, 20))
  return (most * (1 + Math.random())) / 2
}

/**
 * The order in which one request asks servers: each once in a round, with a pause between rounds, and none before the time that it named. One
 * that will not do it later either is not asked again.
 */
export class Turns {
  private readonly servers: number
  private readonly asked = new Set<number>()
  /** By server; infinite: never. */
  private readonly readyAt: number[]
  private rounds = 0
  private roundAt = 0

  constructor(servers: number) {
    this.servers = servers
    this.readyAt = Array.from({ length: servers }, () => 0)
  }

  /** How many servers are still to be asked in this round. One that wants to be left alone is not. */
  left(now: number): number {
    return this.readyAt.filter((readyAt, server) => readyAt <= now && !this.asked.has(server)).length
  }

  /** Whether a server is left that may do it, now or later. */
  get mayGoOn(): boolean {
    return this.readyAt.some((readyAt) => readyAt < Number.POSITIVE_INFINITY)
  }

  /**
   * The first server from `current` on that was not asked in this round, and when to ask it. One that wants to be left alone comes last, behind
   * one that `rests`.
   */
  next(
    current: number,
    now: number,
    rests: (server: number) => boolean,
  ): { readonly server: number; readonly at: number } {
    const order = this.readyAt.map((_, step) => (current + step) % this.servers)
    const from = Math.max(now, this.roundAt)
    const candidates = order
      .filter((server) => !this.asked.has(server))
      .map((server) => ({ server, at: Math.max(from, this.readyAt[server] ?? 0) }))
    return candidates.reduce(
      (best, one) =>
        one.at < best.at || (one.at === best.at && rests(best.server) && !rests(one.server)) ? one : best,
      candidates[0] ?? { server: current, at: from },
    )
  }

  /** `server` did not serve, and wants to be left alone for `restMs`, which may be for ever. */
  failed(server: number, now: number, restMs: number): void {
    if (server >= this.servers) return
    this.readyAt[server] = now + restMs
    this.asked.add(server)
    if (this.left(now) > 0) return
    this.asked.clear()
    this.roundAt = now + pauseMsAfter(this.rounds)
    this.rounds += 1
  }
}
