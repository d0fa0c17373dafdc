import { strict as assert } from 'node:assert'
import { SeededRandom } from '../../../src/lib/random.ts'
import {
  Raft,
  checkSilence,
  checkState,
  checkStep,
  contradictionIn,
  indexOf,
  nodeId,
  offerContradictionIn,
  type AppendPlan,
  type Effects,
  type LogIndex,
  type Membership,
  type MembershipChange,
  type NodeId,
  type Outgoing,
  type RaftEvent,
  type RaftMessage,
  type RaftOptions,
  type RaftView,
  type ReadRelease,
  type SnapshotPlan,
} from '../../../src/raft/index.ts'
import { Disk, type LogImage, type State } from './disk.ts'
import { batchesOf, bodyOf, codec, members, membershipsIn } from './entries.ts'
import { Oracle } from './oracle.ts'

export const DEFAULTS: Omit<RaftOptions, 'id'> = {
  life: 1,
  heartbeatMs: 50,
  electionTimeoutMsMin: 300,
  electionTimeoutMsMax: 600,
  leaseDriftMs: 30,
  appendBytesMax: 1024,
  appendEntriesMax: 64,
  inflightAppendsMax: 8,
  inflightBytesMax: 64 * 1024,
  transferBytesPerMsMin: 1_000,
  uncommittedBytesMax: 64 * 1024,
  caughtUpEntriesMax: 10,
  keepEntries: 1000,
  keepBytes: 1024 * 1024,
  snapshotHoldMs: 5000,
  snapshotHoldBytes: 64 * 1024 * 1024,
}

export interface ClusterOptions {
  readonly seed?: number
  readonly raft?: Partial<RaftOptions>
  /** One-way delay of a message. */
  readonly delayMs?: readonly [number, number]
  /** Time a write takes to become durable. */
  readonly diskMs?: readonly [number, number]
  /** Chances of 0 to 1 for each message. */
  readonly loss?: number
  readonly duplication?: number
  /** How far clocks may run apart, as a fraction. */
  readonly drift?: number
  /** Apply, and flush the state, at once (default) or only by `apply` and `flush`. */
  readonly autoApply?: boolean
}

interface Live {
  readonly raft: Raft
  /** Names the process life. */
  readonly name: string
  readonly held: { readonly afterSeq: number; readonly message: Outgoing }[]
  view: RaftView
  diskBusy: boolean
}

export class Node {
  readonly id: NodeId
  readonly disk = new Disk()
  live: Live | null = null
  lives = 0
  state: State
  /** Messages and timers wait while paused. */
  paused = false
  diskPaused = false
  readonly events: RaftEvent[] = []
  readonly reads: ReadRelease[] = []
  readonly inbox: (() => void)[] = []
  readonly rate: number
  readonly offset: number

  constructor(id: NodeId, rate: number, offset: number) {
    this.id = id
    this.state = this.disk.state
    this.rate = rate
    this.offset = offset
  }

  get raft(): Raft {
    assert.ok(this.live !== null, `node ${this.id} runs`)
    return this.live.raft
  }

  get view(): RaftView {
    return this.raft.view()
  }

  /** Payloads of the whole retained log. */
  get payloads(): string[] {
    return this.disk.current.entries.map((entry) => entry.payload)
  }
}

interface Timed {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

/** Several cores, a network, disks and one virtual clock. Deterministic for a seed. Every step runs the invariants and the oracle. */
export class Cluster {
  now = 1000
  readonly nodes = new Map<number, Node>()
  readonly oracle = new Oracle()
  readonly random: SeededRandom
  /** Messages that arrive by copies: set to watch or to drop. Returning false drops. */
  filter: (message: RaftMessage | AppendPlan) => boolean = () => true
  readonly cut = new Set<string>()
  /** Called with every plan to send a snapshot; by default the snapshot arrives. */
  onSnapshot: (node: Node, plan: SnapshotPlan) => void = (node, plan) => this.sendSnapshot(node, plan, 'installed')
  /** Called whenever something is committed for the first time anywhere. */
  onCommit: () => void = () => {}
  steps = 0
  loss: number
  duplication: number
  delayMs: readonly [number, number]
  diskMs: readonly [number, number]
  private readonly options: ClusterOptions
  private readonly queue: Timed[] = []
  private order = 0
  private proposals = 0

  constructor(options: ClusterOptions = {}) {
    this.options = options
    this.random = new SeededRandom(options.seed ?? 1)
    this.loss = options.loss ?? 0
    this.duplication = options.duplication ?? 0
    this.delayMs = options.delayMs ?? [1, 1]
    this.diskMs = options.diskMs ?? [0.2, 0.2]
  }

  // --- time ---------------------------------------------------------------------------------------------------------

  at(delayMs: number, run: () => void): void {
    this.order += 1
    const timed = { at: this.now + delayMs, order: this.order, run }
    this.queue.push(timed)
    let i = this.queue.length - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      const above = this.queue[parent]
      if (above === undefined || !earlier(timed, above)) break
      this.queue[i] = above
      i = parent
    }
    this.queue[i] = timed
  }

  private pop(): Timed | undefined {
    const top = this.queue[0]
    const last = this.queue.pop()
    if (top === undefined || last === undefined || this.queue.length === 0) return top
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      const left = this.queue[child]
      if (left === undefined) break
      const right = this.queue[child + 1]
      if (right !== undefined && earlier(right, left)) child += 1
      const least = this.queue[child]
      if (least === undefined || !earlier(least, last)) break
      this.queue[i] = least
      i = child
    }
    this.queue[i] = last
    return top
  }

  private between([from, to]: readonly [number, number]): number {
    return from + this.random.fraction() * (to - from)
  }

  /** The node's own clock. */
  timeOf(node: Node): number {
    return node.offset + this.now * node.rate
  }

  /** Runs everything that happens in the next `ms`. */
  run(ms: number): void {
    this.until(() => false, ms)
  }

  /** Runs until `done` or for at most `maxMs`; returns whether it was done. */
  until(done: () => boolean, maxMs = 10_000): boolean {
    const end = this.now + maxMs
    while (!done()) {
      const next = this.earliest()
      if (next === null || next > end) {
        this.now = end
        return done()
      }
      if (next > this.now) this.now = next
      this.step()
    }
    return true
  }

  private earliest(): number | null {
    let at = this.queue[0]?.at ?? Infinity
    for (const node of this.nodes.values()) at = Math.min(at, this.timerOf(node))
    return at === Infinity ? null : at
  }

  /** On the cluster's clock. */
  private timerOf(node: Node): number {
    if (node.live === null || node.paused) return Infinity
    return (node.live.raft.deadline() - node.offset) / node.rate
  }

  private step(): void {
    this.steps += 1
    const top = this.queue[0]
    if (top !== undefined && top.at <= this.now) {
      this.pop()
      top.run()
      return
    }
    for (const node of this.nodes.values()) {
      // A hair late, so that rounding never leaves a timer undone.
      if (this.timerOf(node) <= this.now) this.input(node, (raft, now) => raft.tick(Math.max(now, raft.deadline())))
    }
  }

  // --- processes ----------------------------------------------------------------------------------------------------

  /** Makes nodes `1..count`, starts and connects them. */
  start(count: number): this {
    for (let id = 1; id <= count; id++) this.add(id)
    return this
  }

  add(value: number): Node {
    const drift = this.options.drift ?? 0
    const rate = 1 + (this.random.fraction() * 2 - 1) * drift
    const node = new Node(nodeId(value), rate, drift === 0 ? 0 : this.random.integer(0, 1_000_000))
    this.nodes.set(value, node)
    this.boot(node, null)
    return node
  }

  private boot(node: Node, recoverUntil: number | null): void {
    node.lives += 1
    node.state = node.disk.state
    const options = { ...DEFAULTS, ...this.options.raft, id: node.id }
    const random = new SeededRandom(this.random.integer(0, 2 ** 31))
    const raft = new Raft(options, node.disk.restored(recoverUntil), { random, codec }, this.timeOf(node))
    node.live = { raft, name: `${node.id}#${node.lives}`, held: [], view: raft.view(), diskBusy: false }
    checkState(raft)
    for (const other of this.nodes.values()) {
      if (other !== node && other.live !== null) this.connect(node, other)
    }
  }

  private connect(a: Node, b: Node): void {
    this.input(a, (raft, now) => raft.peerConnected(now, b.id))
    this.input(b, (raft, now) => raft.peerConnected(now, a.id))
  }

  node(id: number): Node {
    const node = this.nodes.get(id)
    assert.ok(node !== undefined, `node ${id} exists`)
    return node
  }

  /** `survivors`: how many of the writes on their way reach the disk. `told`: the others see the connections close at once. */
  crash(id: number, { survivors = 0, told = true }: { survivors?: number; told?: boolean } = {}): void {
    const node = this.node(id)
    node.live = null
    node.inbox.length = 0
    node.paused = false
    node.disk.crash(survivors)
    if (!told) return
    for (const other of this.nodes.values()) {
      if (other !== node) this.input(other, (raft, now) => raft.peerDisconnected(now, node.id))
    }
  }

  /** The others find that nobody listens at `id`. */
  refuse(id: number): void {
    for (const other of this.nodes.values()) {
      if (other.id !== id) this.input(other, (raft, now) => raft.peerUnreachable(now, nodeId(id)))
    }
  }

  restart(id: number, recoverUntil: number | null = null): void {
    const node = this.node(id)
    assert.equal(node.live, null, 'only a stopped node restarts')
    this.boot(node, recoverUntil)
  }

  pause(id: number): void {
    this.node(id).paused = true
  }

  resume(id: number): void {
    const node = this.node(id)
    node.paused = false
    for (const run of node.inbox.splice(0)) run()
  }

  // --- the network --------------------------------------------------------------------------------------------------

  /** From `a` to `b` only. */
  cutOneWay(a: number, b: number): void {
    this.cut.add(`${a}>${b}`)
  }

  cutBoth(a: number, b: number): void {
    this.cutOneWay(a, b)
    this.cutOneWay(b, a)
  }

  isolate(id: number): void {
    for (const other of this.nodes.keys()) if (other !== id) this.cutBoth(id, other)
  }

  heal(): void {
    this.cut.clear()
  }

  private dispatch(node: Node, outgoing: Outgoing): void {
    this.oracle.sends(outgoing, node.disk.durable)
    if (!this.filter(outgoing)) return
    const message = outgoing.type === 'append-plan' ? expand(node.disk.current, outgoing) : outgoing
    if (message === null) return
    const copies = this.random.fraction() < this.duplication ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      if (this.random.fraction() >= this.loss) this.at(this.between(this.delayMs), () => this.arrive(message))
    }
  }

  private arrive(message: RaftMessage): void {
    const target = this.nodes.get(message.to)
    if (target === undefined || this.cut.has(`${message.from}>${message.to}`)) return
    this.input(target, (raft, now) => {
      assert.equal(contradictionIn(raft, message), null, 'a sound member contradicts nothing')
      raft.receive(now, message)
    })
  }

  /** Carries the sender's applied state over. */
  sendSnapshot(sender: Node, plan: SnapshotPlan, outcome: 'installed' | 'failed', delayMs = 5): void {
    const { state } = sender
    const { to, session, vote } = plan
    const receiver = this.node(to)
    const lost = (): boolean => this.cut.has(`${sender.id}>${to}`) || receiver.live === null || sender.live === null
    const finish = (result: 'installed' | 'failed'): void => {
      if (sender.live !== null) this.input(sender, (raft, now) => raft.snapshotReport(now, to, session, result))
    }
    const { applied } = state
    if (applied === null || lost()) return this.at(delayMs, () => finish('failed'))
    const offer = { vote, session, logId: applied }
    this.at(1, () => {
      if (lost()) return finish('failed')
      const answer = this.ask(receiver, (raft, now) => {
        assert.equal(offerContradictionIn(raft, sender.id, offer), null, 'a sound member offers what is committed')
        return raft.offerSnapshot(now, sender.id, offer)
      })
      if (answer !== 'accept') return finish(answer === 'have-it' ? 'installed' : 'failed')
      const { live } = receiver
      this.at(delayMs, () => {
        if (receiver.live !== live || lost() || outcome === 'failed') return finish('failed')
        this.input(receiver, (raft, now) => raft.snapshotProgress(now, sender.id, vote))
        // The log may have grown beyond the snapshot while it was on its way.
        if (this.ask(receiver, (raft, now) => raft.offerSnapshot(now, sender.id, offer)) !== 'accept')
          return finish('failed')
        receiver.state = state
        receiver.disk.state = state
        this.input(receiver, (raft, now) =>
          raft.installSnapshot(now, sender.id, { ...offer, membership: state.membership }),
        )
        finish('installed')
      })
    })
  }

  // --- inputs and effects -------------------------------------------------------------------------------------------

  /** An input that must wait when the node is paused, and is lost when it is down. */
  input(node: Node, act: (raft: Raft, now: number) => void): void {
    const { live } = node
    if (live === null) return
    if (node.paused) {
      node.inbox.push(() => {
        if (node.live === live) this.input(node, act)
      })
      return
    }
    this.ask(node, act)
  }

  /** An input with an answer; the node must be running. */
  ask<T>(node: Node, act: (raft: Raft, now: number) => T): T {
    const answer = act(node.raft, this.timeOf(node))
    this.absorb(node)
    return answer
  }

  private absorb(node: Node): void {
    const { live } = node
    if (live === null) return
    const effects = live.raft.takeEffects()
    checkSilence(live.raft.takeEffects())
    this.check(live)
    this.writeOut(node, live, effects)
    for (const message of effects.sends) this.dispatch(node, message)
    live.held.push(...effects.held)
    for (const plan of effects.snapshots) this.onSnapshot(node, plan)
    node.reads.push(...effects.reads)
    node.events.push(...effects.events)
    const view = live.view
    if (view.state === 'leader') this.oracle.leads(view, live.name, node.disk.current)
    if ((this.options.autoApply ?? true) && node.live === live) this.apply(node)
  }

  private check(live: Live): void {
    checkState(live.raft)
    const view = live.raft.view()
    checkStep(live.view, view)
    live.view = view
  }

  private writeOut(node: Node, live: Live, effects: Effects): void {
    for (const write of effects.writes) {
      node.disk.write(write)
      if (write.type === 'append') this.oracle.appended(node.disk.current, write.from)
    }
    assert.equal(effects.lastSeq, node.disk.lastSeq, 'writes are numbered without gaps')
    const { committed } = effects
    const news = committed > this.oracle.lastCommitted
    this.oracle.commits(
      node.disk.current,
      Math.max(indexOf(node.state.applied) + 1, 0),
      committed,
      node.id,
      live.view.vote.leaderId,
    )
    this.sync(node, live)
    if (news) this.onCommit()
  }

  /** One write in flight; what gathers meanwhile goes with the next. */
  sync(node: Node, live: Live | null = node.live): void {
    if (live === null || live.diskBusy || node.diskPaused || node.disk.pendingCount === 0) return
    live.diskBusy = true
    const seq = node.disk.lastSeq
    this.at(this.between(this.diskMs), () => {
      if (node.live !== live) return
      live.diskBusy = false
      node.disk.persist(seq)
      const released = live.held.filter((held) => held.afterSeq <= seq)
      live.held.splice(0, live.held.length, ...live.held.filter((held) => held.afterSeq > seq))
      for (const { message } of released) this.dispatch(node, message)
      this.input(node, (raft, now) => raft.persisted(now, seq))
      this.sync(node, live)
    })
  }

  resumeDisk(id: number): void {
    const node = this.node(id)
    node.diskPaused = false
    this.sync(node)
  }

  /** Applies what is committed, in memory. */
  apply(node: Node): void {
    const { live } = node
    if (live === null || node.paused) return
    const { committed } = live.view
    if (committed <= indexOf(node.state.applied)) return
    const logId = live.raft.logIdAt(committed)
    const membership = live.raft.membershipAt(committed)
    assert.ok(logId !== null && membership !== null, 'what is committed is known')
    node.state = { applied: logId, membership }
    this.ask(node, (raft, now) => raft.applied(now, committed))
  }

  /** Makes the applied state durable. Not beyond the durable log: the state is ahead of the log only by a snapshot. */
  flush(id: number): void {
    const node = this.node(id)
    if (node.live === null || node.paused) return
    if (indexOf(node.state.applied) > node.disk.durable.lastIndex || node.state.applied === null) return
    if (indexOf(node.state.applied) < indexOf(node.disk.state.applied)) return
    node.disk.state = node.state
    const { applied } = node.state
    this.ask(node, (raft, now) => raft.stateDurable(now, applied))
  }

  // --- what the tests do --------------------------------------------------------------------------------------------

  get leaders(): Node[] {
    return [...this.nodes.values()].filter((node) => node.live?.raft.state === 'leader')
  }

  /** The leader of the highest ballot. */
  get leader(): Node | null {
    const byTerm = (node: Node): number => node.view.vote.leaderId.term * 1000 + node.id
    return this.leaders.sort((a, b) => byTerm(b) - byTerm(a))[0] ?? null
  }

  initialize(id: number, membership: Membership): string {
    return this.ask(this.node(id), (raft, now) => raft.initialize(now, membership)).kind
  }

  /** A new cluster of `voters`, all started, with an established leader. */
  form(...voters: number[]): Node {
    for (const id of voters) if (!this.nodes.has(id)) this.add(id)
    this.initialize(voters[0] ?? 1, members(...voters))
    return this.electedLeader()
  }

  /** Waits for a leader with a committed entry of its own. */
  electedLeader(maxMs = 10_000): Node {
    const ready = (): boolean => this.leader?.view.established ?? false
    assert.ok(this.until(ready, maxMs), 'a leader is established in time')
    const { leader } = this
    assert.ok(leader !== null)
    return leader
  }

  propose(node: Node, count = 1, payload?: string): string[] | null {
    const payloads = Array.from({ length: count }, () => {
      this.proposals += 1
      return payload ?? `p${this.proposals}`
    })
    const outcome = this.ask(node, (raft, now) => raft.propose(now, { count, body: bodyOf(payloads) }))
    return outcome.kind === 'accepted' ? payloads : null
  }

  /** Proposes at `leader` and waits until every listed node (default: all that run) has committed it. */
  commit(leader: Node, count = 1, on?: number[]): boolean {
    assert.ok(this.propose(leader, count) !== null, 'a leader takes proposals')
    const last = leader.disk.current.lastIndex
    return this.until(() => this.running(on).every(({ view }) => view.committed >= last))
  }

  private running(ids?: number[]): Node[] {
    const running = [...this.nodes.values()].filter((node) => node.live !== null)
    return running.filter((node) => ids === undefined || ids.includes(node.id))
  }

  change(node: Node, change: MembershipChange, ifMembershipAt: number | null = null): string {
    const at = ifMembershipAt === null ? null : (ifMembershipAt as LogIndex)
    return this.ask(node, (raft, now) => raft.changeMembership(now, change, at)).kind
  }
}

function earlier(a: Timed, b: Timed): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

/** Handles a plan as the driver does: looks the entries up, and drops the plan when they are gone. */
export function expand(log: LogImage, plan: AppendPlan): RaftMessage | null {
  const { prev, last, type: _, ...rest } = plan
  const first = indexOf(prev) + 1
  if (last >= first && (first < log.first || last > log.lastIndex)) return null
  const batches = batchesOf(first, log.entries.slice(first - log.first, last - log.first + 1))
  return { type: 'append-request', ...rest, prev, batches, memberships: membershipsIn(batches) }
}
