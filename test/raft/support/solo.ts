import { SeededRandom } from '../../../src/lib/random.ts'
import {
  Raft,
  checkSilence,
  checkState,
  checkStep,
  nodeId,
  term,
  type AppendPlan,
  type AppendRequest,
  type AppendResponse,
  type Effects,
  type LeaderId,
  type LogId,
  type LogIndex,
  type Membership,
  type NodeId,
  type Outgoing,
  type RaftEvent,
  type RaftOptions,
  type ReadRelease,
  type SnapshotPlan,
  type Vote,
  type Write,
} from '../../../src/raft/index.ts'
import { DEFAULTS } from './cluster.ts'
import { Disk } from './disk.ts'
import { batchesOf, codec, members, membershipPayload, membershipsIn } from './entries.ts'

/** `'2.3'`: term 2, node 3. */
export function ballot(text: string): LeaderId {
  const [high = '0', owner = '0'] = text.replace('!', '').split('.')
  return { term: term(Number(high)), nodeId: Number(owner) === 0 ? 0 : nodeId(Number(owner)) }
}

/** `'2.3'`, or `'2.3!'` for a committed one. */
export function vote(text: string): Vote {
  return { leaderId: ballot(text), committed: text.endsWith('!') }
}

/** `'2.3@7'`. */
export function logId(text: string): LogId {
  const [leaderId = '0.0', index = '0'] = text.split('@')
  return { leaderId: ballot(leaderId), index: Number(index) as LogIndex }
}

export function show(found: Vote | LeaderId | LogId | null): string {
  if (found === null) return '-'
  if ('committed' in found) return `${show(found.leaderId)}${found.committed ? '!' : ''}`
  return 'index' in found ? `${show(found.leaderId)}@${found.index}` : `${found.term}.${found.nodeId}`
}

export interface SoloOptions {
  readonly id?: number
  readonly vote?: string
  /** The ballot of each retained entry. Entry 0, when retained, sets `membership`. */
  readonly log?: readonly string[]
  readonly purged?: string
  /** By default what is purged, or nothing. */
  readonly applied?: number
  readonly membership?: Membership
  /** Memberships of further entries, by index. */
  readonly changes?: Readonly<Record<number, Membership>>
  readonly recoverUntil?: number
  readonly raft?: Partial<RaftOptions>
}

/** One core on a bench: the test is its network, disk and clock. Time moves only by `advance`. */
export class Solo {
  readonly raft: Raft
  now = 1000
  /** Writes are durable at once; otherwise by `persist`. */
  autoPersist = true
  sends: Outgoing[] = []
  held: { readonly afterSeq: number; readonly message: Outgoing }[] = []
  writes: Write[] = []
  events: RaftEvent[] = []
  reads: ReadRelease[] = []
  snapshots: SnapshotPlan[] = []
  lastSeq = 0
  committed = -1
  private readonly disk = new Disk()

  constructor(options: SoloOptions = {}) {
    const { durable } = this.disk
    const initial = options.membership ?? members(1, 2, 3)
    durable.purged = options.purged === undefined ? null : logId(options.purged)
    durable.vote = vote(options.vote ?? options.log?.at(-1) ?? '0.0')
    durable.entries = (options.log ?? []).map((leaderId, i) => {
      const index = durable.first + i
      const set = options.changes?.[index] ?? (index === 0 ? initial : null)
      return { leaderId: ballot(leaderId), payload: set === null ? 'x' : membershipPayload(set) }
    })
    const applied = options.applied ?? durable.first - 1
    if (applied >= 0) {
      const at = durable.logIdAt(applied)
      this.disk.state = { applied: at, membership: { logId: logId('0.0@0'), membership: initial } }
    }
    this.disk.current = durable.clone()
    this.committed = applied
    const random = new SeededRandom(7)
    const raftOptions = { ...DEFAULTS, ...options.raft, id: nodeId(options.id ?? 1) }
    this.raft = new Raft(raftOptions, this.disk.restored(options.recoverUntil ?? null), { random, codec }, this.now)
    checkState(this.raft)
  }

  get view(): ReturnType<Raft['view']> {
    return this.raft.view()
  }

  /** `['1.1', '1.1', '2.3']`: the ballots of the retained log. */
  get log(): string[] {
    return this.disk.current.entries.map(({ leaderId }) => show(leaderId))
  }

  do<T>(act: (raft: Raft, now: number) => T): T {
    const before = this.view
    const answer = act(this.raft, this.now)
    this.take(this.raft.takeEffects())
    checkSilence(this.raft.takeEffects())
    checkState(this.raft)
    checkStep(before, this.view)
    if (this.autoPersist && this.disk.pendingCount > 0) this.persist()
    return answer
  }

  private take(effects: Effects): void {
    this.writes.push(...effects.writes)
    for (const write of effects.writes) this.disk.write(write)
    this.sends.push(...effects.sends)
    this.held.push(...effects.held)
    this.events.push(...effects.events)
    this.reads.push(...effects.reads)
    this.snapshots.push(...effects.snapshots)
    this.lastSeq = effects.lastSeq
    this.committed = effects.committed
  }

  persist(seq = this.lastSeq): void {
    this.disk.persist(seq)
    const released = this.held.filter((held) => held.afterSeq <= seq)
    this.held = this.held.filter((held) => held.afterSeq > seq)
    this.sends.push(...released.map((held) => held.message))
    this.do((raft, now) => raft.persisted(now, seq))
  }

  advance(ms: number): void {
    this.now += ms
  }

  /** Time passes, the timers that are due run. */
  elapse(ms: number): void {
    const end = this.now + ms
    while (this.raft.deadline() <= end) {
      this.now = Math.max(this.now, this.raft.deadline())
      this.do((raft, now) => raft.tick(now))
    }
    this.now = end
  }

  clear(): void {
    this.sends = []
    this.writes = []
    this.events = []
    this.reads = []
    this.snapshots = []
  }

  sent<T extends Outgoing['type']>(type: T, to?: number): Extract<Outgoing, { type: T }>[] {
    return this.sends.filter(
      (message): message is Extract<Outgoing, { type: T }> =>
        message.type === type && (to === undefined || message.to === to),
    )
  }

  ignored(): string[] {
    return this.events.flatMap((event) => (event.type === 'message-ignored' ? [event.reason] : []))
  }

  /** Becomes leader by the votes of `from`, without answering for the blank entry. */
  elect(...from: number[]): this {
    this.do((raft, now) => raft.campaign(now))
    for (const id of from) this.grant('pre-vote-request', id)
    for (const id of from) this.grant('vote-request', id)
    return this
  }

  private grant(type: 'pre-vote-request' | 'vote-request', from: number): void {
    const request = this.sent(type, from).at(-1)
    if (request === undefined) return
    const responseType = type === 'vote-request' ? 'vote-response' : 'pre-vote-response'
    const answer = type === 'vote-request' ? request.vote : vote('0.0')
    this.do((raft, now) =>
      raft.receive(now, {
        type: responseType,
        from: nodeId(from),
        to: request.from,
        asked: request.vote,
        granted: true,
        vote: answer,
      }),
    )
  }

  /** `from` answers the last plan it was sent: it holds everything up to `matched` (default: all that was sent). */
  ack(from: number, matched?: number, plan = this.sent('append-plan', from).at(-1)): void {
    if (plan === undefined) throw new Error(`nothing was sent to ${from}`)
    this.respond(plan, { kind: 'matched', matched: (matched ?? plan.last) as LogIndex })
  }

  conflict(from: number, hint: string | null, plan = this.sent('append-plan', from).at(-1)): void {
    if (plan === undefined) throw new Error(`nothing was sent to ${from}`)
    const prev = (plan.prev?.index ?? -1) as LogIndex
    this.respond(plan, { kind: 'conflict', prev, hint: hint === null ? null : logId(hint) })
  }

  respond(plan: AppendPlan, outcome: AppendResponse['outcome'], overrides: Partial<AppendResponse> = {}): void {
    const { from: to, to: from, vote: asked, session, sentAt } = plan
    const answeredAt = { life: 1, at: this.now }
    const base = { type: 'append-response', from, to, vote: asked, asked, session, sentAt, answeredAt } as const
    const response: AppendResponse = { ...base, outcome }
    this.do((raft, now) => raft.receive(now, { ...response, ...overrides }))
  }

  /** An append request from the owner of `text` (a vote). `entries`: the ballots of what follows `prev`. */
  append(text: string, prev: string | null, entries: readonly string[], fields: Partial<AppendRequest> = {}): void {
    const request = appendRequest(this.view.id, text, prev, entries)
    this.do((raft, now) => raft.receive(now, { ...request, ...fields }))
  }

  /** The outcome of the last answer to an append request. */
  get answered(): AppendResponse['outcome'] | undefined {
    return this.sent('append-response').at(-1)?.outcome
  }
}

/** Entries named `'2.3'`, or `'2.3 membership {...}'` for one that sets a membership. */
export function appendRequest(
  to: NodeId,
  text: string,
  prev: string | null,
  entries: readonly string[],
): AppendRequest {
  const first = prev === null ? 0 : logId(prev).index + 1
  const parsed = entries.map((entry) => {
    const [leaderId = '', ...rest] = entry.split(' ')
    return { leaderId: ballot(leaderId), payload: rest.length === 0 ? 'x' : rest.join(' ') }
  })
  const batches = batchesOf(first, parsed)
  const owner = vote(text)
  return {
    type: 'append-request',
    from: nodeId(owner.leaderId.nodeId),
    to,
    vote: { ...owner, committed: true },
    session: 1,
    prev: prev === null ? null : logId(prev),
    batches,
    memberships: membershipsIn(batches),
    committed: -1 as LogIndex,
    sentAt: 5000,
    freshAt: null,
  }
}

export function setting(leaderId: string, membership: Membership): string {
  return `${leaderId} ${membershipPayload(membership)}`
}
