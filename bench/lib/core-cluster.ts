import { strict as assert } from 'node:assert'
import { ENTRY_LENGTH_BYTES } from '../../src/lib/entries.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { limits } from '../../src/limits.ts'
import {
  checkState,
  indexOf,
  nodeId,
  NO_MEMBERSHIP,
  Raft,
  VOTE_ZERO,
  type AppendPlan,
  type AppendRequest,
  type EntryCodec,
  type LogBatch,
  type LogId,
  type LogIndex,
  type Membership,
  type NodeId,
  type Outgoing,
  type RaftMessage,
  type RaftOptions,
  type StoredMembership,
  type Write,
} from '../../src/raft/index.ts'

const PAYLOAD_BYTES = 16
const CLOCK_EVERY = 64

const options: Omit<RaftOptions, 'id'> = {
  life: 1,
  heartbeatMs: 50,
  electionTimeoutMsMin: 1_000,
  electionTimeoutMsMax: 2_000,
  leaseDriftMs: 30,
  appendBytesMax: limits.appendBytesMax,
  appendEntriesMax: limits.appendEntriesMax,
  inflightAppendsMax: limits.inflightAppendsMax,
  inflightBytesMax: limits.inflightBytesMax,
  transferBytesPerMsMin: 1_000,
  uncommittedBytesMax: limits.uncommittedBytesMax,
  caughtUpEntriesMax: limits.caughtUpEntriesMax,
  keepEntries: 1_000,
  keepBytes: 1024 * 1024,
  snapshotHoldMs: 5_000,
  snapshotHoldBytes: 64 * 1024 * 1024,
}

/** `count` entries of the same size, in the format of lib/entries. */
function bodyOf(count: number): Uint8Array {
  const body = Buffer.alloc(count * (ENTRY_LENGTH_BYTES + PAYLOAD_BYTES), 7)
  for (let n = 0; n < count; n++) body.writeUInt32LE(PAYLOAD_BYTES, n * (ENTRY_LENGTH_BYTES + PAYLOAD_BYTES))
  return body
}

const codec: EntryCodec = { blank: () => bodyOf(1), membership: () => bodyOf(1) }

/** A log in memory: batches, ascending, without gaps. */
class MemoryLog {
  private batches: LogBatch[] = []
  private freed = 0

  carryOut(write: Write): void {
    switch (write.type) {
      case 'append':
        assert.equal(write.from, write.batch.first, 'nothing is written twice when no message is lost')
        this.batches.push(write.batch)
        return
      case 'purge':
        while ((this.batches[this.freed]?.last ?? Infinity) <= write.purged.index) this.freed += 1
        if (this.freed * 2 < this.batches.length) return
        this.batches = this.batches.slice(this.freed)
        this.freed = 0
        return
      case 'vote':
        return
      case 'truncate':
      case 'reset':
        assert.fail(`no ${write.type} when no leader fails`)
    }
  }

  /** The batches of `(after, last]`. */
  read(after: LogIndex, last: LogIndex): LogBatch[] {
    let at = this.batches.length
    while (at > this.freed && (this.batches[at - 1]?.last ?? -1) > after) at -= 1
    let end = at
    while ((this.batches[end]?.last ?? Infinity) <= last) end += 1
    return this.batches.slice(at, end)
  }
}

interface Core {
  readonly id: NodeId
  readonly raft: Raft
  readonly log: MemoryLog
}

/** Whole clusters of the core alone. Every write is durable at once, every message arrives in order, and the state is the commit index. */
export class CoreCluster {
  private readonly cores: readonly Core[]
  private readonly membership: Membership
  private readonly mail: RaftMessage[] = []
  private now = 1_000
  private steps = 0

  constructor(size: number) {
    const ids = Array.from({ length: size }, (_, n) => nodeId(n + 1))
    const addresses = (id: NodeId) => ({ raft: `node${id}:7000`, api: `http://node${id}:8000` })
    this.membership = { configs: [ids], nodes: new Map(ids.map((id) => [id, addresses(id)])), removing: [] }
    const nothing = {
      purged: null,
      last: null,
      runs: [],
      sizes: [],
      applied: null,
      memberships: [],
      recoverUntil: null,
    }
    const restored = { vote: VOTE_ZERO, ...nothing, appliedMembership: NO_MEMBERSHIP }
    this.cores = ids.map((id) => {
      const dependencies = { random: new SeededRandom(id), codec }
      return { id, raft: new Raft({ ...options, id }, restored, dependencies, this.now), log: new MemoryLog() }
    })
    this.form()
  }

  private form(): void {
    for (const { id, raft } of this.cores) {
      for (const other of this.cores) if (other.id !== id) raft.peerConnected(this.now, other.id)
    }
    const first = this.first
    first.raft.initialize(this.now, this.membership)
    this.settle(first)
    for (let wait = 0; first.raft.state !== 'leader' && wait < 10_000; wait++) {
      this.now += 1
      if (first.raft.deadline() <= this.now) first.raft.tick(this.now)
      this.settle(first)
    }
    assert.equal(first.raft.state, 'leader', 'the node that forms the cluster leads it')
  }

  private get first(): Core {
    const [first] = this.cores
    assert(first !== undefined)
    return first
  }

  /** Proposes `entries` at a time and keeps `inFlight` under way. Returns how many were committed for each second. */
  run(inFlight: number, entries: number, seconds: number): number {
    const leader = this.first
    const body = bodyOf(entries)
    const begun = performance.now()
    const startedAt = leader.raft.view().committed
    let [proposed, committed] = [startedAt as number, startedAt as number]
    while (performance.now() - begun < seconds * 1000) {
      // Reading the clock costs more than some steps do.
      for (let turn = 0; turn < CLOCK_EVERY; turn++) {
        while (proposed + entries - committed <= inFlight) {
          const outcome = leader.raft.propose(this.now, { count: entries, body })
          assert.equal(outcome.kind, 'accepted')
          proposed += entries
        }
        committed = this.settle(leader)
      }
    }
    return ((committed - startedAt) * 1000) / (performance.now() - begun)
  }

  /** All cores hold the invariants, and all know of the same commits once the leader has told them. */
  check(): void {
    this.now += options.heartbeatMs
    this.first.raft.tick(this.now)
    this.settle(this.first)
    for (const { raft } of this.cores) {
      checkState(raft)
      assert.equal(raft.view().committed, this.first.raft.view().committed)
    }
  }

  /** Carries out the effects of `core`, and of everything that follows from them. Returns its commit index. */
  private settle(core: Core): LogIndex {
    let committed = this.carryOut(core)
    for (let at = 0; at < this.mail.length; at++) {
      const message = this.mail[at]
      const receiver = this.cores[(message?.to ?? 0) - 1]
      if (message === undefined || receiver === undefined) continue
      receiver.raft.receive(this.now, message)
      const reached = this.carryOut(receiver)
      if (receiver === core) committed = reached
    }
    this.mail.length = 0
    this.steps += 1
    // Virtual time: the heartbeat of 50 ms comes once in so many rounds.
    if (this.steps % 1000 === 0) this.now += 1
    if (core.raft.deadline() <= this.now) core.raft.tick(this.now)
    return committed
  }

  private carryOut(core: Core): LogIndex {
    const { raft, log } = core
    const effects = raft.takeEffects()
    for (const write of effects.writes) log.carryOut(write)
    for (const message of effects.sends) this.send(core, message)
    if (effects.writes.length > 0) {
      raft.persisted(this.now, effects.lastSeq)
      for (const { message } of effects.held) this.send(core, message)
      return this.carryOut(core)
    }
    for (const { message } of effects.held) this.send(core, message)
    const { committed } = effects
    if (committed > raft.inspect().state.applied) this.apply(core, committed)
    return committed
  }

  private apply({ raft }: Core, committed: LogIndex): void {
    raft.applied(this.now, committed)
    const logId: LogId | null = raft.logIdAt(committed)
    if (logId !== null) raft.stateDurable(this.now, logId)
  }

  private send({ log }: Core, message: Outgoing): void {
    if (message.type !== 'append-plan') this.mail.push(message)
    else this.mail.push(this.requestOf(message, log))
  }

  private requestOf(plan: AppendPlan, log: MemoryLog): AppendRequest {
    const batches = log.read(indexOf(plan.prev), plan.last)
    const { from, to, vote, session, prev, committed, sentAt, freshAt } = plan
    // Entry 0 forms the cluster.
    const forms = batches[0]?.first === 0
    const formed: StoredMembership = {
      logId: { leaderId: { term: VOTE_ZERO.leaderId.term, nodeId: 0 }, index: 0 as LogIndex },
      membership: this.membership,
    }
    const memberships = forms ? [formed] : []
    return { type: 'append-request', from, to, vote, session, prev, batches, memberships, committed, sentAt, freshAt }
  }
}
