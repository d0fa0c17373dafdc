import { strict as assert } from 'node:assert'
import { SeededRandom } from '../../../src/lib/random.ts'
import {
  hasQuorum,
  indexOf,
  isJoint,
  nodeId,
  type MembershipChange,
  type RaftOptions,
} from '../../../src/raft/index.ts'
import { Cluster, type Node } from './cluster.ts'
import { addressesOf, members } from './entries.ts'

/** How often each thing happened, to show that a run was not idle. */
export type Tally = Map<string, number>

interface Weighted {
  readonly name: string
  readonly weight: number
  readonly act: () => void
}

/**
 * One random history of a cluster: faults, requests and membership changes first, then peace, in which a leader, progress and equal
 * logs must come. Each class of fault is drawn on or off for each seed, so that rare combinations are common over many.
 */
export class Fuzz {
  private readonly random: SeededRandom
  private readonly cluster: Cluster
  private readonly poolSize: number
  /** Connections may be refused by mistake: then leases are not safe, everything else is (raft.md 5). */
  private readonly refusalsLie: boolean
  private readonly tally: Tally
  private readonly actions: readonly Weighted[]
  private readonly needs = new Map<string, number>()
  private readonly readsSeen = new Map<Node, number>()
  private reads = 0
  private founders = members(1)
  /** The node whose disk lost acknowledged entries and that is not whole again: one at a time. */
  private damaged: { readonly id: number; readonly until: number } | null = null

  constructor(seed: number, tally: Tally = new Map()) {
    this.tally = tally
    this.random = new SeededRandom(seed)
    this.poolSize = this.pick([1, 2, 3, 3, 3, 4, 5, 5])
    this.refusalsLie = this.chance(0.2)
    this.cluster = new Cluster({
      seed: this.random.integer(0, 2 ** 31),
      raft: this.drawOptions(),
      delayMs: this.pick([[0.1, 1] as const, [0.5, 10] as const, [1, 80] as const]),
      diskMs: this.pick([[0.1, 0.5] as const, [0.1, 10] as const, [1, 150] as const]),
      loss: this.pick([0, 0, 0.02, 0.2]),
      duplication: this.pick([0, 0.05, 0.3]),
      drift: this.pick([0, 0.01]),
      autoApply: this.chance(0.7),
    })
    this.cluster.onSnapshot = (node, plan) => {
      this.count('snapshot')
      const outcome = this.chance(0.3) ? 'failed' : 'installed'
      this.cluster.sendSnapshot(node, plan, outcome, this.random.integer(1, 200))
    }
    // The moment at which a leader that was replaced without knowing can be caught giving old answers.
    this.cluster.onCommit = () => {
      this.leaseRead()
      if (this.chance(0.1)) this.cluster.at(0, () => this.read())
    }
    this.actions = this.drawActions()
  }

  private drawOptions(): Partial<RaftOptions> {
    const tiny = this.chance(0.7)
    return {
      appendBytesMax: tiny ? this.random.integer(1, 60) : 1024,
      appendEntriesMax: tiny ? this.random.integer(1, 8) : 64,
      inflightAppendsMax: this.random.integer(1, tiny ? 4 : 16),
      inflightBytesMax: tiny ? this.random.integer(1, 200) : 8192,
      transferBytesPerMsMin: tiny ? 10 : 1_000,
      uncommittedBytesMax: tiny ? this.random.integer(20, 400) : 8192,
      caughtUpEntriesMax: this.random.integer(0, 20),
      keepEntries: this.random.integer(0, tiny ? 10 : 100),
      keepBytes: this.random.integer(0, tiny ? 100 : 10_000),
      snapshotHoldMs: this.random.integer(0, 500),
      snapshotHoldBytes: this.random.integer(0, tiny ? 400 : 8192),
    }
  }

  private drawActions(): Weighted[] {
    const all: Weighted[] = [
      { name: 'propose', weight: 30, act: () => this.propose() },
      { name: 'read', weight: 10, act: () => this.read() },
      { name: 'flush', weight: 10, act: () => this.flush() },
      { name: 'apply', weight: 5, act: () => this.onSome((node) => this.cluster.apply(node)) },
    ]
    const faults: Weighted[] = [
      { name: 'crash', weight: 4, act: () => this.crash() },
      { name: 'restart', weight: 6, act: () => this.restart() },
      { name: 'bounce', weight: 2, act: () => this.bounce() },
      { name: 'change', weight: 6, act: () => this.change() },
      { name: 'cut', weight: 4, act: () => this.cut() },
      { name: 'split', weight: 3, act: () => this.split() },
      { name: 'heal', weight: 3, act: () => this.cluster.heal() },
      { name: 'pause', weight: 2, act: () => this.onSome((node) => this.pause(node)) },
      { name: 'pause-disk', weight: 2, act: () => this.onSome((node) => this.pauseDisk(node)) },
      { name: 'transfer', weight: 2, act: () => this.transfer() },
      {
        name: 'campaign',
        weight: 1,
        act: () => this.onSome((node) => void this.cluster.ask(node, (raft, now) => raft.campaign(now))),
      },
      {
        name: 'step-down',
        weight: 1,
        act: () => this.onSome((node) => this.cluster.ask(node, (raft, now) => raft.stepDown(now, 'asked'))),
      },
      { name: 'purge', weight: 2, act: () => this.onSome((node) => this.purge(node)) },
      { name: 'disconnect', weight: 2, act: () => this.disconnect() },
    ]
    // How often a thing happens differs from seed to seed too.
    const drawn = [...all, ...faults.filter(() => this.chance(0.7))]
    return drawn.map((action) => ({ ...action, weight: action.weight * this.pick([0.3, 1, 4]) }))
  }

  run(): void {
    this.form()
    const actions = this.random.integer(20, 200)
    for (let i = 0; i < actions; i++) {
      this.cluster.run(this.random.fraction() * this.pick([5, 50, 300]))
      this.checkReads()
      this.leaseRead()
      this.act()
    }
    this.settleDown()
  }

  private form(): void {
    const { cluster, poolSize } = this
    cluster.start(poolSize)
    const voters = this.random.integer(1, poolSize + 1)
    this.founders = members(...Array.from({ length: voters }, (_, i) => i + 1))
    const membership = this.founders
    // Any of the members may do it, several or all of them at once.
    cluster.initialize(this.random.integer(1, voters + 1), membership)
    for (let id = 1; id <= voters; id++) {
      if (!this.chance(0.4)) continue
      cluster.run(this.random.fraction() * 5)
      cluster.initialize(id, membership)
    }
    if (this.chance(0.7)) cluster.until(() => cluster.leader !== null, 5000)
  }

  private act(): void {
    const total = this.actions.reduce((sum, { weight }) => sum + weight, 0)
    let at = this.random.fraction() * total
    for (const { weight, act } of this.actions) {
      at -= weight
      if (at < 0) return act()
    }
  }

  // --- requests -----------------------------------------------------------------------------------------------------

  private propose(): void {
    const target = this.chance(0.8) ? (this.cluster.leader ?? this.some()) : this.some()
    if (target === null || target.paused) return
    if (this.chance(0.2)) for (const leader of this.cluster.leaders) if (!leader.paused) this.cluster.propose(leader)
    for (let i = this.random.integer(1, 4); i > 0; i--) {
      if (this.cluster.propose(target, this.random.integer(1, 5)) !== null) this.count('propose')
    }
  }

  private read(): void {
    // Any node that believes to lead: those that are wrong matter most.
    for (const target of this.cluster.leaders) {
      if (target.paused) continue
      this.reads += 1
      const readId = this.reads
      this.needs.set(`${target.id} ${readId}`, this.cluster.oracle.lastCommitted)
      this.cluster.ask(target, (raft, now) => raft.read(now, readId))
    }
  }

  /** A read is never older than what was committed when it arrived. */
  private checkReads(): void {
    for (const node of this.cluster.nodes.values()) {
      const seen = this.readsSeen.get(node) ?? 0
      for (const read of node.reads.slice(seen)) {
        const need = this.needs.get(`${node.id} ${read.readId}`)
        assert.ok(need !== undefined, 'a read is released once')
        this.needs.delete(`${node.id} ${read.readId}`)
        if (read.kind === 'ready') assert.ok(read.index >= need, `read at ${read.index} misses ${need}`)
        this.count(`read-${read.kind}`)
      }
      this.readsSeen.set(node, node.reads.length)
    }
  }

  private leaseRead(): void {
    for (const node of this.cluster.nodes.values()) {
      if (node.live === null || node.paused) continue
      const { lastCommitted } = this.cluster.oracle
      const index = this.cluster.ask(node, (raft, now) => raft.leaseRead(now))
      if (index === null) continue
      this.count('lease-read')
      assert.ok(this.refusalsLie || index >= lastCommitted, `lease read at ${index} misses ${lastCommitted}`)
    }
  }

  private change(): void {
    const leader = this.cluster.leader
    if (leader === null || leader.paused) return
    const outcome = this.cluster.change(leader, this.drawChange(leader))
    this.count(`change-${outcome}`)
  }

  private drawChange(leader: Node): MembershipChange {
    const { membership } = leader.view.effective
    const known = [...membership.nodes.keys()]
    const stranger = this.random.integer(1, this.poolSize + 1)
    const kind = this.random.integer(0, 6)
    if (kind === 0) return { type: 'add-learner', id: nodeId(stranger), addresses: addressesOf(stranger) }
    if (kind === 1) return { type: 'remove-learner', id: nodeId(stranger) }
    const voters = known.filter(() => this.chance(0.5))
    const [retain, allowLagging, force] = [this.chance(0.5), this.chance(0.7), this.chance(0.5)]
    return { type: 'set-voters', voters, retain, allowLagging, force }
  }

  private transfer(): void {
    const leader = this.cluster.leader
    if (leader === null || leader.paused) return
    const to = this.chance(0.5) ? null : nodeId(this.random.integer(1, this.poolSize + 1))
    this.count(`transfer-${this.cluster.ask(leader, (raft, now) => raft.transfer(now, to)).kind}`)
  }

  // --- disks --------------------------------------------------------------------------------------------------------

  private flush(): void {
    for (const node of this.cluster.nodes.values()) {
      if (!this.chance(0.5)) continue
      this.cluster.apply(node)
      this.cluster.flush(node.id)
    }
  }

  private purge(node: Node): void {
    if (this.cluster.ask(node, (raft, now) => raft.purgeTo(now, null)) !== null) this.count('purge')
  }

  private pauseDisk(node: Node): void {
    node.diskPaused = true
    this.cluster.at(this.random.integer(1, 700), () => this.cluster.resumeDisk(node.id))
  }

  // --- processes and connections ------------------------------------------------------------------------------------

  private crash(): void {
    const node = this.chance(0.5) ? (this.cluster.leader ?? this.some()) : this.some()
    if (node === null) return
    this.count('crash')
    const told = this.chance(0.7)
    this.cluster.crash(node.id, { survivors: this.random.integer(0, node.disk.pendingCount + 1), told })
    if (told && this.chance(0.8)) {
      this.cluster.at(this.random.fraction() * 20, () => {
        if (node.live === null) this.cluster.refuse(node.id)
      })
    }
  }

  /** Down and up again before anyone has noticed. */
  private bounce(): void {
    const node = this.some()
    if (node === null) return
    this.cluster.crash(node.id, {
      survivors: this.random.integer(0, node.disk.pendingCount + 1),
      told: this.chance(0.5),
    })
    this.cluster.at(this.random.fraction() * 100, () => {
      if (node.live === null) this.reboot(node)
    })
  }

  private restart(): void {
    const down = [...this.cluster.nodes.values()].filter((node) => node.live === null)
    if (down.length === 0) return
    const node = this.pick(down)
    if (this.chance(0.2)) this.loseTail(node)
    this.reboot(node)
  }

  private reboot(node: Node): void {
    if (this.damaged !== null && !this.isRecovering(this.damaged.id)) this.damaged = null
    this.cluster.restart(node.id, this.damaged?.id === node.id ? this.damaged.until : null)
  }

  private isRecovering(id: number): boolean {
    const node = this.cluster.node(id)
    return node.live === null || node.view.recovering
  }

  /** The end of the log turns out to be damaged. What was in it is still held by a quorum of others. */
  private loseTail(node: Node): void {
    const { durable, state } = node.disk
    if (this.damaged !== null && this.isRecovering(this.damaged.id)) return
    const keep = Math.max(indexOf(durable.purged), indexOf(state.applied))
    if (keep >= durable.lastIndex || durable.lastIndex > this.cluster.oracle.lastCommitted) return
    const { membership } = node.disk.restored().memberships.at(-1) ?? state.membership
    const others = (id: number): boolean =>
      id !== node.id && this.cluster.node(id).disk.durable.lastIndex >= durable.lastIndex
    const sizes = [...this.cluster.nodes.values()].every((other) => {
      const known = other.disk.restored().memberships.at(-1) ?? other.disk.state.membership
      return hasQuorum(known.membership, others) && !isJoint(known.membership)
    })
    if (!sizes || !hasQuorum(membership, others)) return
    this.count('lost-tail')
    this.damaged = { id: node.id, until: durable.lastIndex }
    durable.entries.length = this.random.integer(keep, durable.lastIndex) - indexOf(durable.purged)
    node.disk.current = durable.clone()
  }

  private pause(node: Node): void {
    this.cluster.pause(node.id)
    const { live } = node
    this.cluster.at(this.random.integer(1, 1500), () => {
      if (node.live === live) this.cluster.resume(node.id)
    })
  }

  private cut(): void {
    const [a, b] = [this.random.integer(1, this.poolSize + 1), this.random.integer(1, this.poolSize + 1)]
    if (a === b) return
    const shape = this.random.integer(0, 3)
    if (shape === 0) this.cluster.cutOneWay(a, b)
    else if (shape === 1) this.cluster.cutBoth(a, b)
    else this.cluster.isolate(a)
  }

  /** The leader alone, or any part of the nodes, apart from the rest for a while. */
  private split(): void {
    const { cluster } = this
    const leader = this.chance(0.5) ? cluster.leader : null
    const ids = [...cluster.nodes.keys()]
    const apart = leader === null ? ids.filter(() => this.chance(0.5)) : [leader.id]
    for (const a of apart) for (const b of ids) if (!apart.some((id) => id === b)) cluster.cutBoth(a, b)
    cluster.at(this.random.integer(50, 1500), () => cluster.heal())
  }

  private disconnect(): void {
    const [a, b] = [this.random.integer(1, this.poolSize + 1), this.random.integer(1, this.poolSize + 1)]
    if (a === b) return
    const node = this.cluster.node(a)
    const peer = nodeId(b)
    this.cluster.input(node, (raft, now) => raft.peerDisconnected(now, peer))
    if (this.refusalsLie && this.chance(0.5)) this.cluster.input(node, (raft, now) => raft.peerUnreachable(now, peer))
    this.cluster.at(this.random.integer(1, 500), () =>
      this.cluster.input(node, (raft, now) => raft.peerConnected(now, peer)),
    )
  }

  // --- peace --------------------------------------------------------------------------------------------------------

  private settleDown(): void {
    const { cluster } = this
    cluster.heal()
    cluster.loss = 0
    cluster.duplication = 0
    cluster.delayMs = [0.1, 1]
    cluster.diskMs = [0.1, 0.5]
    cluster.onSnapshot = (node, plan) => cluster.sendSnapshot(node, plan, 'installed')
    for (const node of cluster.nodes.values()) {
      if (node.live === null) this.reboot(node)
      if (node.paused) cluster.resume(node.id)
      cluster.resumeDisk(node.id)
    }
    this.reconnectAll()
    // A crash may have undone the forming of the cluster: whoever asked for it was not told that it had happened.
    const nothing = [...cluster.nodes.values()].every(({ view }) => view.last === null)
    if (nothing) cluster.initialize(1, this.founders)
    const calm = cluster.until(() => this.isCalm(), 60_000)
    if (!calm && this.damaged !== null && this.isRecovering(this.damaged.id)) return this.count('blocked-by-damage')
    assert.ok(calm, `calm in time: ${this.describe()}`)
    this.checkReads()
    const leader = cluster.leader
    assert.ok(leader !== null)
    assert.ok(cluster.propose(leader, 1) !== null, 'a leader in peace takes proposals')
    const last = leader.disk.current.lastIndex
    const ids = [...leader.view.effective.membership.nodes.keys()]
    const everywhere = (): boolean => ids.every((id) => cluster.node(id).view.committed >= last)
    assert.ok(cluster.until(everywhere, 10_000), `committed everywhere: ${this.describe()}`)
    this.count('calm')
  }

  private reconnectAll(): void {
    for (const a of this.cluster.nodes.values()) {
      for (const b of this.cluster.nodes.values()) {
        if (a !== b) this.cluster.input(a, (raft, now) => raft.peerConnected(now, b.id))
      }
    }
  }

  private isCalm(): boolean {
    const leader = this.cluster.leader
    if (leader === null) return false
    const { established, effective, committedMembership, transferringTo, committed, last } = leader.view
    const final = !isJoint(effective.membership) && effective === committedMembership
    return (
      established && final && transferringTo === null && committed === indexOf(last) && leader.raft.state === 'leader'
    )
  }

  private describe(): string {
    return [...this.cluster.nodes.values()]
      .map(({ id, live }) => {
        if (live === null) return `${id} down`
        const { state, vote, last, committed, purged, effective, recovering } = live.raft.view()
        const { term, nodeId: owner } = vote.leaderId
        const configs = JSON.stringify(effective.membership.configs)
        const log = `${indexOf(purged)}..${committed}..${indexOf(last)}@${last?.leaderId.term}.${last?.leaderId.nodeId}`
        return `${id} ${state} ${term}.${owner}${vote.committed ? '!' : ''} ${log} ${configs}${recovering ? ' recovering' : ''}`
      })
      .join('\n')
  }

  // --- chance -------------------------------------------------------------------------------------------------------

  private count(name: string): void {
    this.tally.set(name, (this.tally.get(name) ?? 0) + 1)
  }

  private chance(probability: number): boolean {
    return this.random.fraction() < probability
  }

  private pick<T>(from: readonly T[]): T {
    const picked = from[this.random.integer(0, from.length)]
    assert.ok(picked !== undefined, 'something to pick from')
    return picked
  }

  private some(): Node | null {
    const up = [...this.cluster.nodes.values()].filter((node) => node.live !== null && !node.paused)
    return up.length === 0 ? null : this.pick(up)
  }

  private onSome(act: (node: Node) => void): void {
    const node = this.some()
    if (node !== null) act(node)
  }
}
