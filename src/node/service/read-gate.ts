import type { Consistency } from '../../api/keys.ts'
import type { AnswerContext, Caller, ReadOptions } from '../../api/services.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { stepOf } from '../../lib/stages.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Replica } from '../replica.ts'
import type { Serving } from './serving.ts'

export interface ReadGateDependencies {
  readonly replica: Replica
  readonly clock: Clock
  readonly serving: Serving
  /** The node that answers. */
  readonly id: number
}

/** Lets a read through once the state of this node may be read as the read asks. */
export class ReadGate {
  /** How many reads it has let through. */
  passed = 0
  private readonly deps: ReadGateDependencies
  /** Null: nothing waits for the end of this turn of the event loop. */
  private turn: Promise<void> | null = null

  constructor(deps: ReadGateDependencies) {
    this.deps = deps
  }

  /** What an answer reflects that is made of the present state. */
  context(consistency: Consistency): AnswerContext {
    const { replica, id } = this.deps
    return { revision: replica.applier.revision, servedBy: id, leader: replica.raft.leader, consistency }
  }

  /** Waits until the local state may be read as asked. Returns the consistency that is really given. */
  async reach(options: ReadOptions): Promise<Consistency> {
    this.deps.serving.check()
    const { revision } = options
    const given = await (revision === undefined ? this.reachPresent(options) : this.reachRevision(revision, options))
    // From here on the state holds every revocation that the read must know of.
    if (options.guard !== undefined) await this.judge(options, given)
    if (options.prepare !== undefined) await options.prepare()
    this.passed += 1
    return given
  }

  /**
   * Rejects unless the client may read what is here. A stale read is refused once the leader was asked: this node may not know yet what was
   * granted. Without a leader, what it knows has to do.
   */
  async judge({ guard, timeoutMs, caller }: ReadOptions, given: Consistency): Promise<void> {
    try {
      guard?.check()
    } catch (denial) {
      if (given !== 'stale') throw denial
      await this.deps.replica.reads
        .barrier(Math.min(timeoutMs, limits.auth.confirmMs), caller)
        .catch((error: unknown) => {
          throw error instanceof RequestError && error.code === 'no-leader' ? denial : error
        })
      guard?.check()
    }
  }

  private async reachPresent(options: ReadOptions): Promise<Consistency> {
    const startedAt = this.deps.clock.now()
    const given = await this.confirm(options)
    const { minRevision } = options
    if (minRevision !== null)
      await this.waitForRevision(
        { revision: minRevision, given },
        options.timeoutMs - (this.deps.clock.now() - startedAt),
        options.caller ?? null,
      )
    return given
  }

  /**
   * The past is the same on all nodes: one that has reached it need not ask the leader. Only the leader can tell that there is no such revision,
   * and whether somebody may still read.
   */
  private async reachRevision(revision: number, options: ReadOptions): Promise<Consistency> {
    const { replica } = this.deps
    const given = options.consistency === 'stale' ? 'stale' : 'linearizable'
    const isGuarded = given === 'linearizable' && options.guard !== undefined && replica.permissions.mustAsk
    if (revision <= replica.applier.revision && !isGuarded) {
      await this.endOfTurn()
      return given
    }
    if (given === 'stale') await this.waitForRevision({ revision, given }, options.timeoutMs, options.caller ?? null)
    else await replica.reads.barrier(options.timeoutMs, options.caller)
    const current = replica.applier.revision
    if (revision <= current) return given
    const detail = `there is no revision ${revision} yet; the store is at ${current}`
    throw futureRevision(detail, this.context(given))
  }

  private async confirm(options: ReadOptions): Promise<Consistency> {
    const { replica, clock } = this.deps
    if (options.consistency === 'stale') {
      await this.endOfTurn()
      if (options.maxStalenessMs !== null) await this.checkStaleness(options.maxStalenessMs, options)
      return 'stale'
    }
    if (options.consistency === 'lease') {
      await this.endOfTurn()
      const uncountedMs = replica.suspension.look()
      const index = replica.raft.leaseRead(clock.now(), uncountedMs)
      if (index !== null && index <= replica.applier.appliedIndex) return 'lease'
    }
    await replica.reads.barrier(options.timeoutMs, options.caller)
    return 'linearizable'
  }

  /**
   * For reads that have nothing to wait for. Answers that leave while the other requests of a turn are still being read bring the next requests one
   * by one, and each of those then takes the event loop a turn of its own (docs/internals/performance.md).
   */
  private endOfTurn(): Promise<void> {
    this.turn ??= new Promise((resolve) => {
      this.deps.clock.nextTurn(() => {
        this.turn = null
        resolve()
      })
    })
    return this.turn
  }

  private async checkStaleness(maxMs: number, options: ReadOptions): Promise<void> {
    const ageMs = await this.age(options.timeoutMs, options.caller ?? null)
    if (ageMs <= maxMs) return
    const known =
      ageMs === Infinity
        ? 'cannot tell how old its state is, since it has not heard from a leader'
        : `has a state that may be ${Math.round(ageMs)} ms old, older than maxStaleness allows`
    throw new RequestError('not-ready', `this node ${known}; ask another node, or raise maxStaleness`)
  }

  /** The most time since the state applied here was known to hold every acknowledged write; Infinity when that is not known. */
  private async age(timeoutMs: number, caller: Caller | null): Promise<number> {
    const { replica, clock } = this.deps
    const freshAt = await this.freshAt(timeoutMs, caller)
    const uncountedMs = replica.suspension.look()
    if (freshAt === null || freshAt < replica.raft.view().wokenAt) return Infinity
    return clock.now() - freshAt + uncountedMs
  }

  /** That moment, by this node's clock; null when it is not known. */
  private async freshAt(timeoutMs: number, caller: Caller | null): Promise<number | null> {
    const { replica } = this.deps
    const view = replica.raft.view()
    // A new leader does not know yet what is committed.
    if (view.state !== 'leader' || !view.established) return replica.freshness.freshAt
    const isApplied = await replica.waits.applications.reach(view.committed, timeoutMs, caller)
    return isApplied ? view.quorumAckedAt : replica.freshness.freshAt
  }

  /** `given`: the consistency of the state that is waited for. */
  private async waitForRevision(
    { revision, given }: { readonly revision: number; readonly given: Consistency },
    timeoutMs: number,
    caller: Caller | null,
  ): Promise<void> {
    const { replica, clock } = this.deps
    const since = clock.now()
    const reached = await replica.waits.revisions.reach(revision, timeoutMs, caller)
    caller?.onStep?.(stepOf('wait', clock.now()), since)
    if (reached) return
    const context = this.context(given)
    throw futureRevision(`revision ${revision} was not reached in time; the store is at ${context.revision}`, context)
  }
}

/** `context`: what the store has reached. */
export function futureRevision(detail: string, context: AnswerContext): RequestError {
  return new RequestError('future-revision', detail, { currentRevision: context.revision }, context)
}
