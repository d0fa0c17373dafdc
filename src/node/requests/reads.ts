import { RequestError } from '../../lib/errors.ts'
import type { Random } from '../../lib/random.ts'
import { firstNumber } from '../../lib/random.ts'
import { stepOf, type Step } from '../../lib/stages.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { ReadIndexRequest, ReadIndexResponse } from '../../ports/transport.ts'
import type { LogIndex, NodeId, ReadOutcome, ReadRelease } from '../../raft/index.ts'
import { BEFORE_FIRST } from '../../raft/index.ts'
import type { LeaderDirectory } from './leader-directory.ts'
import type { Caller } from '../../api/services.ts'
import type { WaitingRoom } from './waiting-room.ts'
import { ReadTimes } from './read-times.ts'
import { Sweep } from './sweep.ts'

export interface ReadsOptions {
  readonly id: NodeId
  /** How long to wait for the leader's answer before asking again, under a new number. */
  readonly retryMs: number
}

export interface ReadsDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly room: WaitingRoom
  readonly leaders: Pick<LeaderDirectory, 'leader'>
  /** Asks the core of this node, which leads; the answer comes through `onRelease`. */
  readonly core: { read(readId: number): ReadOutcome }
  readonly outbox: { send(message: ReadIndexRequest | ReadIndexResponse): void }
  readonly applier: { readonly appliedIndex: LogIndex }
  /** Whether callers want to know where their time goes. */
  readonly isTimed: boolean
}

interface Waiting {
  readonly since: number
  readonly deadline: number
  readonly caller: Caller | null
  readonly resolve: () => void
  readonly reject: (error: RequestError) => void
}

/** Reads that share one question to the leader. */
interface Round {
  readonly readId: number
  /** Emptied when they are released, since the round may outlive that (see `release` in pending.ts). */
  readonly members: Waiting[]
  readonly askedAt: number
  readonly times: ReadTimes
  /** The node whose answer counts. */
  readonly asked: NodeId
  /** Set once the leader has answered: the reads are safe when this index is applied. */
  index: LogIndex | null
}

/** A question from another node that this node's core is working on. */
interface Remote {
  readonly node: NodeId
  readonly readId: number
}

/** What is said to reads whose time is up, and where they are then. */
interface Expiry {
  readonly code: 'no-leader' | 'read-timeout'
  readonly times: Step
}

const SWEEP_MS = 20
const NO_LEADER = stepOf('leader', null)

/**
 * Linearizable reads (thesis 6.4). A read waits until a leader has confirmed, after the read arrived, that it still led, and until this
 * node has applied everything that the leader had committed then. Reads of one turn of the event loop share a round. A number is never used
 * twice, so a late answer cannot release a later read.
 */
export class Reads {
  /** Whether a read was ever let through. */
  hasPassed = false
  private readonly options: ReadsOptions
  private readonly deps: ReadsDependencies
  private waiting: Waiting[] = []
  private readonly rounds = new Map<number, Round>()
  /** Answered rounds that wait for their index to be applied. */
  private ready: Round[] = []
  private readonly remotes = new Map<number, Remote>()
  private readIds: number
  private count = 0
  private flushing = false
  private readonly sweep: Sweep
  private closed: RequestError | null = null

  constructor(options: ReadsOptions, deps: ReadsDependencies) {
    this.options = options
    this.deps = deps
    // A late answer to an earlier process of this node must not release a read of this one.
    this.readIds = firstNumber(deps.random)
    this.sweep = new Sweep(deps.clock, SWEEP_MS, () => this.sweepOnce())
  }

  /** Resolves when a read of the local state is linearizable. Rejects with `RequestError`: `no-leader`, `read-timeout`, `overloaded`. */
  barrier(timeoutMs: number, caller: Caller | null = null): Promise<void> {
    if (this.closed !== null) return Promise.reject(this.closed)
    if (this.deps.room.isFull) {
      return Promise.reject(
        new RequestError('overloaded', 'too many reads are waiting for the leader; try again later'),
      )
    }
    return new Promise((resolve, reject) => {
      this.count += 1
      this.deps.room.enter()
      const since = this.deps.clock.now()
      this.waiting.push({ since, deadline: since + timeoutMs, caller, resolve, reject })
      this.flushSoon()
      this.sweep.begin()
    })
  }

  /** Another node asks for a read index. This node leads, or answers that it does not. */
  onRequest(request: ReadIndexRequest): void {
    const readId = this.readIds++
    const outcome =
      this.remotes.size < limits.remoteReadsMax
        ? this.ask(readId, { node: request.from, readId: request.readId })
        : null
    if (outcome?.kind !== 'pending') this.answer({ node: request.from, readId: request.readId }, null)
  }

  onResponse(response: ReadIndexResponse): void {
    const round = this.rounds.get(response.readId)
    if (round === undefined || round.index !== null || round.asked !== response.from) return
    if (response.ready) this.confirmed(round, response.index)
    else this.again(round)
  }

  onRelease(release: ReadRelease): void {
    const remote = this.remotes.get(release.readId)
    if (remote !== undefined) {
      this.remotes.delete(release.readId)
      this.answer(remote, release.kind === 'ready' ? release.index : null)
      return
    }
    const round = this.rounds.get(release.readId)
    if (round === undefined) return
    if (release.kind === 'ready') this.confirmed(round, release.index)
    else this.again(round)
  }

  /** The leader changed: questions to the old leader may never be answered. */
  onLeader(): void {
    for (const round of this.rounds.values()) this.again(round)
    this.flushSoon()
  }

  onApplied(applied: LogIndex): void {
    if (this.ready.length === 0) return
    const still: Round[] = []
    for (const round of this.ready) {
      if (round.index !== null && round.index <= applied) this.release(round)
      else still.push(round)
    }
    this.ready = still
  }

  close(error: RequestError): void {
    this.closed = error
    this.sweep.stop()
    this.abandon(error)
  }

  /** Answers every waiting read with `error`. */
  abandon(error: RequestError): void {
    for (const waiting of this.all()) waiting.reject(error)
    this.waiting = []
    this.rounds.clear()
    this.ready = []
    this.left(this.count)
  }

  private all(): Waiting[] {
    return [
      ...this.waiting,
      ...[...this.rounds.values()].flatMap((r) => r.members),
      ...this.ready.flatMap((r) => r.members),
    ]
  }

  private ask(readId: number, remote: Remote): ReadOutcome {
    this.remotes.set(readId, remote)
    const outcome = this.deps.core.read(readId)
    if (outcome.kind !== 'pending') this.remotes.delete(readId)
    return outcome
  }

  private answer(remote: Remote, index: LogIndex | null): void {
    this.deps.outbox.send({
      type: 'read-index-response',
      from: this.options.id,
      to: remote.node,
      readId: remote.readId,
      ready: index !== null,
      index: index ?? BEFORE_FIRST,
    })
  }

  private flushSoon(): void {
    if (this.flushing || this.waiting.length === 0) return
    this.flushing = true
    this.deps.clock.nextTurn(() => {
      this.flushing = false
      this.flush()
    })
  }

  private flush(): void {
    if (this.waiting.length === 0 || this.closed !== null) return
    const leader = this.deps.leaders.leader()
    if (leader.kind === 'none') return
    const asked = leader.kind === 'self' ? this.options.id : leader.leader
    const askedAt = this.deps.clock.now()
    const times = new ReadTimes(askedAt)
    const round: Round = { readId: this.readIds++, members: this.waiting, askedAt, times, asked, index: null }
    this.waiting = []
    // The round is recorded before the core sees it: a single voter releases it during the call.
    this.rounds.set(round.readId, round)
    if (leader.kind === 'self') {
      if (this.deps.core.read(round.readId).kind !== 'pending') this.again(round)
      return
    }
    this.deps.outbox.send({
      type: 'read-index-request',
      from: this.options.id,
      to: leader.leader,
      readId: round.readId,
    })
  }

  private confirmed(round: Round, index: LogIndex): void {
    this.rounds.delete(round.readId)
    round.index = index
    if (this.deps.isTimed) round.times.confirmedAt = this.deps.clock.now()
    if (index <= this.deps.applier.appliedIndex) this.release(round)
    else this.ready.push(round)
  }

  private release({ members, times }: Round): void {
    this.hasPassed = true
    this.left(members.length)
    if (this.deps.isTimed) times.releasedAt = this.deps.clock.now()
    for (const waiting of members.splice(0)) {
      this.tellTimes(waiting, times)
      waiting.resolve()
    }
  }

  private tellTimes({ caller, since }: Waiting, step: Step): void {
    if (this.deps.isTimed) caller?.onStep?.(step, since)
  }

  private left(count: number): void {
    this.count -= count
    this.deps.room.leave(count)
  }

  /** Puts a round's reads back in the queue; the sweep or the next leader takes them up. */
  private again(round: Round): void {
    this.rounds.delete(round.readId)
    this.waiting = [...round.members.splice(0), ...this.waiting]
  }

  /** Returns whether any read still waits. */
  private sweepOnce(): boolean {
    const now = this.deps.clock.now()
    for (const round of this.rounds.values()) {
      if (now - round.askedAt >= this.options.retryMs) this.again(round)
    }
    this.waiting = this.expire(this.waiting, now, { code: 'no-leader', times: NO_LEADER })
    for (const round of this.rounds.values()) this.expireIn(round, now, 'no-leader')
    for (const round of this.ready) this.expireIn(round, now, 'read-timeout')
    if (this.ready.some(({ members }) => members.length === 0)) {
      this.ready = this.ready.filter(({ members }) => members.length > 0)
    }
    this.flush()
    return this.count > 0
  }

  private expireIn({ members, times }: Round, now: number, code: Expiry['code']): void {
    const kept = this.expire(members, now, { code, times })
    if (kept.length < members.length) members.splice(0, members.length, ...kept)
  }

  private expire(waiting: Waiting[], now: number, { code, times }: Expiry): Waiting[] {
    const isStillWanted = ({ deadline, caller }: Waiting): boolean => deadline > now && caller?.isGone !== true
    if (waiting.every(isStillWanted)) return waiting
    const kept: Waiting[] = []
    for (const one of waiting) {
      if (isStillWanted(one)) {
        kept.push(one)
        continue
      }
      this.left(1)
      this.tellTimes(one, times)
      one.reject(code === 'no-leader' ? this.noLeader() : readTimeout())
    }
    return kept
  }

  private noLeader(): RequestError {
    if (this.deps.leaders.leader().kind !== 'none') return readTimeout()
    return new RequestError(
      'no-leader',
      'no leader confirmed the read in time; try again, or read with ?consistency=stale',
    )
  }
}

function readTimeout(): RequestError {
  return new RequestError('read-timeout', 'this node did not catch up with the leader in time; try again')
}
