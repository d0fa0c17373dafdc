import type { RequestError } from '../../lib/errors.ts'
import { Histogram, STORAGE_SECONDS } from '../../lib/histogram.ts'
import type { Random } from '../../lib/random.ts'
import { firstNumber } from '../../lib/random.ts'
import { stepOf } from '../../lib/stages.ts'
import type { CommandResult } from '../../kv/index.ts'
import type { Clock } from '../../ports/clock.ts'
import type { ForwardRefusal, ForwardRequest } from '../../ports/transport.ts'
import type { LeaderId, LogIndex, NodeId, ProposeOutcome, Vote } from '../../raft/index.ts'
import { compareLeaderIds, sameLeaderId } from '../../raft/index.ts'
import type { CommandEntry, Origin } from '../codec/entry.ts'
import { commandEntries } from '../codec/entry.ts'
import type { Caller } from '../../api/services.ts'
import { Admission, type AdmissionOptions } from './admission.ts'
import type { LeaderDirectory } from './leader-directory.ts'
import { bytesKeptFor, release, type Batch, type Pending } from './pending.ts'
import { noLeader, notHere, outcomeUnknown, TOO_MANY } from './proposal-errors.ts'
import { spansOf } from './spans.ts'
import { Sweep } from './sweep.ts'
import { Unproposed } from './unproposed.ts'
import { WriteTimes, type EntryTimes } from './write-times.ts'

export interface ProposalsOptions {
  readonly id: NodeId
  readonly batchEntriesMax: number
  readonly batchBytesMax: number
  readonly pendingMax: number
  readonly pendingBytesMax: number
  /** How long to wait for an answer to a forwarded batch before sending it again under the same number. */
  readonly resendMs: number
  readonly admission: AdmissionOptions
}

/** Who asks for a write, and what for. */
export interface Sender {
  readonly caller?: Caller | null
  /** It keeps something alive or removes something: it is taken while other writes are refused, and waits when the leader has no room. */
  readonly isUpkeep?: boolean
  /** No other node may propose it: it fails where this one does not lead in the moment in which it is proposed, also for a second time. */
  readonly isOnlyHere?: boolean
}

/** Appends a batch of commands to the log, if this node leads. */
export interface Proposer {
  propose(count: number, body: Uint8Array): ProposeOutcome
}

export interface ProposalsDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly leaders: Pick<LeaderDirectory, 'leader'>
  readonly core: Proposer
  readonly outbox: { send(message: ForwardRequest): void }
  /** The feature level of the cluster. */
  readonly cluster: { readonly level: number }
  /** How far the log is; null: nobody wants to know where the time of a write goes. */
  readonly entryTimes: EntryTimes | null
}

/** What became of commands that were proposed. `last`: the index of the last of them; null when another node appends them. */
interface Proposed extends Pick<Batch, 'leaderId' | 'batchId' | 'request'> {
  readonly last: LogIndex | null
}

const SWEEP_MS = 50
/** The feature level from which on every member understands spans. */
const SPANS_LEVEL = 1
const NO_LEADER = stepOf('leader', null)

/**
 * The writes that this node has taken and not answered yet.
 *
 * Each command carries this process's origin and a number into the log. It is answered when this node applies its entry, whichever node
 * proposed it. A command proposed under ballot V was appended by V's owner or not at all. So if an entry of a later ballot is applied and
 * the command was not seen before it, the command is lost for good: it is proposed again, and cannot take effect twice. Until then its
 * outcome is unknown, and a deadline that passes is answered with `outcome-unknown`.
 */
export class Proposals {
  readonly origin: Origin
  private readonly options: ProposalsOptions
  private readonly deps: ProposalsDependencies
  private readonly pending = new Map<number, Pending>()
  private readonly batches = new Map<number, Batch>()
  private readonly unproposed = new Unproposed()
  /** Bytes of the commands without an answer, and of the forwarded batches that may have to be sent again. */
  private bytes = 0
  private numbers = 0
  private batchIds: number
  private flushing = false
  private readonly sweep: Sweep
  private readonly admission: Admission
  private closed: RequestError | null = null
  /** The highest ballot of which an entry was applied here. */
  private appliedLeaderId: LeaderId | null = null
  failed = 0
  /** From when a command was taken to when its result was there. */
  readonly answerSeconds = new Histogram(STORAGE_SECONDS)
  /** Of those that failed, the ones that were not taken because too many waited. */
  refused = 0

  constructor(options: ProposalsOptions, deps: ProposalsDependencies) {
    this.options = options
    this.deps = deps
    // A late refusal of a batch of an earlier process must not be taken for one of this process: the batch it names would be proposed
    // twice.
    this.batchIds = firstNumber(deps.random)
    this.sweep = new Sweep(deps.clock, SWEEP_MS, () => this.sweepOnce())
    this.admission = new Admission(options.admission)
    this.origin = { node: options.id, nonce: deps.random.integer(0, 0x1_0000_0000) }
  }

  get count(): number {
    return this.pending.size
  }

  /** Bytes that are kept for writes without an answer. */
  get heldBytes(): number {
    return this.bytes
  }

  /** Takes a command. Rejects with `RequestError`; the class comment tells which failures are definite. */
  submit(
    command: Uint8Array,
    timeoutMs: number,
    { caller = null, isUpkeep = false, isOnlyHere = false }: Sender = {},
  ): Promise<CommandResult> {
    if (this.closed !== null) return Promise.reject(this.closed)
    const refusal = this.refusal(command.length, isUpkeep ? null : timeoutMs)
    if (refusal !== null) return Promise.reject(refusal)
    return new Promise((resolve, reject) => {
      const since = this.deps.clock.now()
      if (this.pending.size === 0) this.admission.onBusy(since)
      const pending: Pending = {
        number: this.numbers++,
        command,
        since,
        deadline: since + timeoutMs,
        caller,
        isUpkeep,
        isOnlyHere,
        isAmongFew: this.admission.isAmongFew({ count: this.pending.size, bytes: this.bytes }),
        resolve,
        reject,
        batch: null,
      }
      this.pending.set(pending.number, pending)
      this.bytes += command.length
      this.unproposed.addFresh(pending)
      this.flushSoon()
      this.sweep.begin()
    })
  }

  /**
   * Why a write of `bytes` that comes now is refused; null: it is taken. `timeoutMs`: how long its client waits; null: it is upkeep, and waits
   * however long the others take. `underWay`: how many writes have been let in that may not have been submitted yet.
   */
  refusal(bytes: number, timeoutMs: number | null, underWay = 0): RequestError | null {
    if (this.hasRoom(bytes) && (timeoutMs === null || this.isSoonDone(timeoutMs, underWay))) return null
    this.failed += 1
    this.refused += 1
    return TOO_MANY
  }

  private hasRoom(bytes: number): boolean {
    const { pendingMax, pendingBytesMax } = this.options
    return this.pending.size < pendingMax && this.bytes + bytes <= pendingBytesMax
  }

  private isSoonDone(timeoutMs: number, underWay: number): boolean {
    const [oldest] = this.pending.values()
    // Without a leader nothing is answered, and writes wait until there is one.
    if (oldest === undefined || this.deps.leaders.leader().kind === 'none') return true
    const count = Math.max(this.pending.size, underWay)
    const waiting = { count, bytes: this.bytes, oldestAt: oldest.since }
    return this.admission.admits(this.deps.clock.now(), waiting, timeoutMs)
  }

  /** An entry was executed. It is one of ours if it carries our origin. */
  onResult({ index, originNode, originNonce, requestNumber }: CommandEntry, result: CommandResult): void {
    if (originNode !== this.origin.node || originNonce !== this.origin.nonce) return
    const pending = this.pending.get(requestNumber)
    if (pending === undefined) return
    const now = this.deps.clock.now()
    this.admission.onAnswered(now, pending.since, pending.isAmongFew)
    this.answerSeconds.record((now - pending.since) / 1000)
    this.tellTimes(pending, index)
    const { resolve } = pending
    this.settled(pending)
    resolve(result)
  }

  /** An entry written under `leaderId` is applied: commands that were proposed under an earlier ballot and not seen are lost. */
  onApplied(leaderId: LeaderId): void {
    if (this.appliedLeaderId !== null && compareLeaderIds(leaderId, this.appliedLeaderId) <= 0) return
    this.appliedLeaderId = leaderId
    for (const batch of this.batches.values()) {
      if (compareLeaderIds(batch.leaderId, leaderId) < 0) this.proposeAgain(batch)
    }
  }

  /** A snapshot replaced the state: commands in flight under its ballot or an earlier one may or may not be part of it. */
  onSnapshot(leaderId: LeaderId): void {
    this.appliedLeaderId = leaderId
    for (const batch of this.batches.values()) {
      if (compareLeaderIds(batch.leaderId, leaderId) > 0) continue
      for (const pending of batch.open) this.fail(pending, outcomeUnknown())
    }
  }

  onRefusal(refusal: ForwardRefusal): void {
    const batch = this.batches.get(refusal.batchId)
    if (batch === undefined || batch.request === null || batch.request.to !== refusal.from) return
    if (refusal.reason !== 'overloaded') return this.proposeAgain(batch)
    for (const pending of batch.open) if (!pending.isUpkeep) this.fail(pending, TOO_MANY)
    // What is left is proposed again by the next sweep.
    if (batch.open.size > 0) this.takeBack(batch)
  }

  /** The leader changed, or a connection came back: waiting commands may be able to move now. */
  onLeader(): void {
    this.admission.onLeader(this.deps.clock.now())
    for (const batch of this.batches.values()) this.resend(batch)
    if (!this.unproposed.isEmpty) this.flushSoon()
  }

  /** Answers every open command, and every later one, with `error` (or with `outcome-unknown` where a leader may have the command). */
  close(error: RequestError): void {
    this.closed = error
    this.sweep.stop()
    this.abandon(error)
  }

  /** Does the same for the commands that are open now. */
  abandon(error: RequestError): void {
    for (const pending of this.pending.values()) {
      // A command that neither waits nor is in a batch is being handled by the core at this moment.
      const isWaiting = this.unproposed.has(pending)
      this.fail(pending, isWaiting ? error : outcomeUnknown())
    }
  }

  private flushSoon(): void {
    if (this.flushing) return
    this.flushing = true
    this.deps.clock.nextTurn(() => {
      this.flushing = false
      this.flush()
    })
  }

  private flush(): void {
    while (!this.unproposed.isEmpty) {
      const leader = this.deps.leaders.leader()
      if (leader.kind !== 'self') for (const pending of this.unproposed.takeOnlyHere()) this.fail(pending, notHere())
      if (leader.kind === 'none' || this.unproposed.isEmpty) return
      const members = this.unproposed.takeBatch(this.options)
      const body = commandEntries(this.origin, members)
      if (leader.kind === 'other') this.forward(leader.leader, leader.vote, members, body)
      // A refused batch waits again; the next turn or the next leader takes it up.
      else if (!this.proposeHere(members, body)) return
    }
  }

  /** Returns whether the core has taken them. */
  private proposeHere(members: readonly Pending[], body: Uint8Array): boolean {
    const outcome = this.deps.core.propose(members.length, body)
    switch (outcome.kind) {
      case 'accepted':
        this.open(members, {
          leaderId: outcome.leaderId,
          batchId: this.nextBatchId(),
          request: null,
          last: outcome.last,
        })
        return true
      case 'overloaded':
        for (const pending of members) {
          if (pending.isUpkeep) this.unproposed.addLost(pending)
          else this.fail(pending, TOO_MANY)
        }
        return false
      case 'not-leader':
      case 'transferring':
        for (const pending of members) if (this.pending.has(pending.number)) this.unproposed.addLost(pending)
        return false
    }
  }

  private forward(to: NodeId, vote: Vote, members: readonly Pending[], body: Uint8Array): void {
    const batchId = this.nextBatchId()
    const spans = this.deps.cluster.level < SPANS_LEVEL ? [] : spansOf(members)
    const request: ForwardRequest = {
      type: 'forward-request',
      from: this.options.id,
      to,
      vote,
      batchId,
      count: members.length,
      body,
      ...(spans.length === 0 ? {} : { spans }),
    }
    this.open(members, { leaderId: vote.leaderId, batchId, request, last: null })
    this.deps.outbox.send(request)
  }

  private open(members: readonly Pending[], { leaderId, batchId, request, last }: Proposed): void {
    // A core that is alone may have answered during the call.
    const open = new Set(members.filter((pending) => this.pending.has(pending.number)))
    if (open.size === 0) return
    const { clock, entryTimes } = this.deps
    const sentAt = clock.now()
    const times = entryTimes === null ? null : new WriteTimes(sentAt, last, entryTimes)
    const batch: Batch = { batchId, leaderId, request, open, times, sentAt }
    for (const pending of open) pending.batch = batch
    this.batches.set(batchId, batch)
    this.bytes += bytesKeptFor(batch)
  }

  /** Sends a forwarded batch again, under its number: the leader that it was meant for takes it only once (raft.md 6). */
  private resend(batch: Batch): void {
    const { request } = batch
    if (request === null) return
    const leader = this.deps.leaders.leader()
    if (leader.kind !== 'other' || leader.leader !== request.to) return
    if (!sameLeaderId(leader.vote.leaderId, batch.leaderId)) return
    batch.sentAt = this.deps.clock.now()
    this.deps.outbox.send(request)
  }

  private proposeAgain(batch: Batch): void {
    this.takeBack(batch)
    this.flushSoon()
  }

  /** No leader has the commands of `batch`. */
  private takeBack(batch: Batch): void {
    this.forget(batch)
    for (const pending of batch.open) {
      pending.batch = null
      this.unproposed.addLost(pending)
    }
  }

  private forget(batch: Batch): void {
    this.batches.delete(batch.batchId)
    this.bytes -= bytesKeptFor(batch)
    batch.request = null
  }

  private nextBatchId(): number {
    return this.batchIds++
  }

  /** Lets go of a command and its bytes, wherever it is. */
  private settled(pending: Pending): void {
    this.pending.delete(pending.number)
    this.bytes -= pending.command.length
    if (this.pending.size === 0) this.admission.onIdle(this.deps.clock.now())
    const { batch } = pending
    if (batch === null) this.unproposed.delete(pending)
    else if (batch.open.delete(pending) && batch.open.size === 0) this.forget(batch)
    release(pending)
  }

  private tellTimes({ caller, since, batch }: Pending, index?: LogIndex): void {
    if (this.deps.entryTimes !== null) caller?.onStep?.(batch?.times ?? NO_LEADER, since, index)
  }

  private fail(pending: Pending, error: RequestError): void {
    this.tellTimes(pending)
    const { reject } = pending
    this.settled(pending)
    this.failed += 1
    reject(error)
  }

  /** Why no leader has taken a command in time. */
  private notTaken(): RequestError {
    return this.deps.leaders.leader().kind === 'none' ? noLeader() : TOO_MANY
  }

  /** Returns whether any command still waits. */
  private sweepOnce(): boolean {
    const now = this.deps.clock.now()
    for (const pending of this.pending.values()) {
      // A client that is gone is told nothing, and a write that no leader has taken need not happen.
      const isUnwanted = pending.batch === null && pending.caller?.isGone === true
      if (pending.deadline > now && !isUnwanted) continue
      this.fail(pending, pending.batch === null ? this.notTaken() : outcomeUnknown())
    }
    for (const batch of this.batches.values()) {
      if (now - batch.sentAt >= this.options.resendMs) this.resend(batch)
    }
    if (!this.unproposed.isEmpty) this.flushSoon()
    return this.pending.size > 0
  }
}
