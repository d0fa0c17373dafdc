import {
  Raft,
  checkSilence,
  checkState,
  checkStep,
  indexOf,
  nodeId,
  type Effects,
  type Outgoing,
  type RaftOptions,
  type SnapshotPlan,
} from '../../../src/raft/index.ts'
import { DEFAULTS, expand } from './cluster.ts'
import { codec } from './entries.ts'
import { Oracle } from './oracle.ts'
import { Actor, isRunning, type Life } from './script-actor.ts'
import { ScriptNetwork } from './script-network.ts'
import {
  showEvent,
  showIndex,
  showOutgoing,
  showParcel,
  showWrite,
  type Parcel,
  type SnapshotTransfer,
} from './script-print.ts'
import { ScriptError } from './script-words.ts'

const DELIVERIES_MAX = 10_000
/** Cores let time grow a little with each input; a timer that is due by less than this has come. */
const TIMER_SLACK_MS = 0.5

/**
 * Several cores whose every message, write to disk and tick is a step of a script. Prints what follows from each step. Whatever
 * happens, the invariants and the oracle are asked after every single input.
 */
export class Stage {
  now = 1000
  readonly actors = new Map<number, Actor>()
  readonly network = new ScriptNetwork()
  /** Numbers for what the script asks for. */
  proposals = 0
  reads = 0
  private readonly oracle = new Oracle()
  private options: Omit<RaftOptions, 'id'> = DEFAULTS
  private printed: string[] = []
  private indent = ''
  private detail: 'all' | 'events' | 'nothing' = 'all'

  // --- output -------------------------------------------------------------------------------------------------------

  print(line: string): void {
    this.printed.push(this.indent + line)
  }

  takePrinted(): string[] {
    return this.printed.splice(0)
  }

  /** Prints what `act` leads to with less detail. */
  quietly(detail: 'events' | 'nothing', act: () => void): void {
    const before = this.detail
    this.detail = detail
    act()
    this.detail = before
  }

  private indented(act: () => void): void {
    const before = this.indent
    this.indent += '  '
    act()
    this.indent = before
  }

  private note(kind: 'message' | 'event', line: string): void {
    if (this.detail === 'all' || (kind === 'event' && this.detail === 'events')) this.print(line)
  }

  // --- processes ----------------------------------------------------------------------------------------------------

  setOption(name: string, value: number): void {
    if (!(name in DEFAULTS)) throw new ScriptError(`"${name}" is not an option`)
    if (this.actors.size > 0) throw new ScriptError('options stand before the first node')
    this.options = { ...this.options, [name]: value }
  }

  /** A pristine node, which does not run yet. */
  add(id: number): Actor {
    if (this.actors.has(id)) throw new ScriptError(`node ${id} exists already`)
    const { electionTimeoutMsMin: min, electionTimeoutMsMax: max } = this.options
    const actor = new Actor(id, Math.min(min + 50 * id, max - 1))
    this.actors.set(id, actor)
    return actor
  }

  actor(id: number): Actor {
    const actor = this.actors.get(id)
    if (actor === undefined) throw new ScriptError(`there is no node ${id}`)
    return actor
  }

  running(id: number): Actor & { life: Life } {
    const actor = this.actor(id)
    if (!isRunning(actor)) throw new ScriptError(`node ${id} does not run`)
    return actor
  }

  stopped(id: number): Actor {
    const actor = this.actor(id)
    if (actor.life !== null) throw new ScriptError(`node ${id} runs`)
    return actor
  }

  setTimeout(id: number, timeoutMs: number): void {
    const { electionTimeoutMsMin: min, electionTimeoutMsMax: max } = this.options
    if (timeoutMs < min || timeoutMs >= max)
      throw new ScriptError(`an election timeout is from ${min} to ${max - 1} ms`)
    this.actor(id).timeoutMs = timeoutMs
  }

  boot(id: number, recoverUntil: number | null = null): void {
    const actor = this.stopped(id)
    actor.lives += 1
    actor.state = actor.disk.state
    const { electionTimeoutMsMin: min, electionTimeoutMsMax: max } = this.options
    const random = { fraction: () => (actor.timeoutMs - min) / (max - min), integer: (from: number) => from }
    const options = { ...this.options, id: actor.id }
    const raft = new Raft(options, actor.disk.restored(recoverUntil), { random, codec }, this.now)
    actor.life = { raft, name: `${id}#${actor.lives}`, held: [], view: raft.view() }
    checkState(raft)
    this.oracle.appended(actor.disk.current, actor.disk.current.first)
    this.absorb(actor)
    for (const other of this.actors.keys()) this.connect(id, other)
  }

  /** Both ways, unless a cut is in between. */
  connect(a: number, b: number): void {
    if (a === b || this.actor(a).life === null || this.actor(b).life === null) return
    if (this.network.isCut(a, b) || this.network.isCut(b, a)) {
      bothWays(a, b, (from, to) => this.network.disconnect(from, to))
      return
    }
    bothWays(a, b, (from, to) => {
      this.network.connect(from, to)
      this.tell(from, (raft, now) => raft.peerConnected(now, nodeId(to)))
    })
  }

  /** The connections break in both directions: what is on its way is lost. */
  disconnect(a: number, b: number): void {
    bothWays(a, b, (from, to) => {
      this.network.disconnect(from, to)
      this.loseAll((x, y) => x === from && y === to)
      this.tell(from, (raft, now) => raft.peerDisconnected(now, nodeId(to)))
    })
  }

  /** Connections that broke or never stood are made. */
  heal(): void {
    this.network.heal()
    const ids = [...this.actors.keys()]
    for (const a of ids) for (const b of ids) if (a < b && !this.network.isConnected(a, b)) this.connect(a, b)
  }

  crash(id: number, told: boolean): void {
    const actor: Actor = this.running(id)
    actor.life = null
    actor.hung = false
    actor.untold.length = 0
    actor.disk.crash(0)
    actor.state = actor.disk.state
    this.loseAll((_from, to) => to === id)
    if (told) for (const other of this.actors.keys()) if (other !== id) this.disconnect(other, id)
  }

  private loseAll(links: (from: number, to: number) => boolean): void {
    for (const parcel of this.network.take({ links, type: null, which: 'all' })) this.lose(parcel)
  }

  /** Only the sender of a snapshot notices. */
  lose(parcel: Parcel): void {
    if (parcel.type === 'snapshot') this.finishSnapshot(parcel, 'failed')
  }

  // --- inputs and effects -------------------------------------------------------------------------------------------

  input<T>(id: number, act: (raft: Raft, now: number) => T): T {
    const actor = this.running(id)
    const answer = act(actor.life.raft, this.now)
    this.absorb(actor)
    return answer
  }

  /** News of connections: lost on a node that does not run, later on one that hangs. */
  tell(id: number, act: (raft: Raft, now: number) => void): void {
    const actor = this.actor(id)
    if (actor.hung) actor.untold.push(act)
    else if (actor.life !== null) this.input(id, act)
  }

  wake(id: number): void {
    const actor = this.running(id)
    actor.hung = false
    for (const act of actor.untold.splice(0)) this.input(id, act)
  }

  /** Like `input`, and prints the answer before what follows from it. */
  ask(id: number, act: (raft: Raft, now: number) => string | null): void {
    const actor = this.running(id)
    const answer = act(actor.life.raft, this.now)
    if (answer !== null) this.print(`${id} ${answer}`)
    this.absorb(actor)
  }

  private absorb(actor: Actor): void {
    const { life } = actor
    if (life === null) return
    const effects = life.raft.takeEffects()
    checkSilence(life.raft.takeEffects())
    checkState(life.raft)
    const view = life.raft.view()
    checkStep(life.view, view)
    const { committed: before } = life.view
    life.view = view
    this.write(actor, effects)
    for (const event of effects.events) this.note('event', `${actor.id} ${showEvent(event)}`)
    if (effects.committed > before) this.note('event', `${actor.id} commits ..${effects.committed}`)
    for (const message of effects.sends) this.send(actor, message)
    for (const held of effects.held) {
      if (actor.syncHeld) this.note('message', `${showOutgoing(actor.disk.current, held.message)} (waits for the disk)`)
      life.held.push(held)
    }
    for (const plan of effects.snapshots) this.sendSnapshot(actor, plan)
    for (const read of effects.reads) {
      const outcome = read.kind === 'ready' ? `may be answered at ${showIndex(read.index)}` : 'failed'
      this.note('event', `${actor.id} read ${read.readId} ${outcome}`)
    }
    if (view.state === 'leader') this.oracle.leads(view, life.name, actor.disk.current)
    this.apply(actor)
    if (!actor.syncHeld && actor.disk.pendingCount > 0) this.sync(actor.id, null)
  }

  private write(actor: Actor, effects: Effects): void {
    for (const write of effects.writes) {
      if (actor.syncHeld) this.note('message', `${actor.id} writes ${showWrite(write)}`)
      actor.disk.write(write)
      if (write.type === 'append') this.oracle.appended(actor.disk.current, write.from)
    }
    if (effects.lastSeq !== actor.disk.lastSeq) throw new Error('writes are not numbered one by one')
    const { vote } = actor.life?.view ?? actor.disk.current
    const from = indexOf(actor.state.applied) + 1
    this.oracle.commits(actor.disk.current, from, effects.committed, actor.id, vote.leaderId)
  }

  private send(actor: Actor, outgoing: Outgoing): void {
    this.oracle.sends(outgoing, actor.disk.durable)
    const message = outgoing.type === 'append-plan' ? expand(actor.disk.current, outgoing) : outgoing
    // The entries are gone since the plan was made: a driver drops it, the core tries again.
    if (message === null) return
    const { from, to } = message
    const lost = !this.network.carries(from, to) || (this.actors.get(to)?.life ?? null) === null
    this.note('message', `${showParcel(message)}${lost ? ' (lost)' : ''}`)
    if (!lost) this.network.post(message)
  }

  private sendSnapshot(actor: Actor, { to, session, vote }: SnapshotPlan): void {
    const { applied, membership } = actor.state
    if (applied === null) throw new Error('a snapshot is sent of a state that holds nothing')
    const parcel: SnapshotTransfer = {
      type: 'snapshot',
      from: actor.id,
      to,
      session,
      vote,
      state: { applied, membership },
    }
    this.note('message', showParcel(parcel))
    this.network.post(parcel)
  }

  private apply(actor: Actor): void {
    const { life } = actor
    if (life === null || life.view.committed <= indexOf(actor.state.applied)) return
    const { committed } = life.view
    const applied = life.raft.logIdAt(committed)
    const membership = life.raft.membershipAt(committed)
    if (applied === null || membership === null) throw new Error('what is committed is not known')
    actor.state = { applied, membership }
    this.input(actor.id, (raft, now) => raft.applied(now, committed))
  }

  /** Makes the first `count` waiting writes durable; null: all of them. */
  sync(id: number, count: number | null): void {
    const actor = this.running(id)
    const { disk, life } = actor
    const first = disk.lastSeq - disk.pendingCount
    const seq = Math.min(disk.lastSeq, count === null ? disk.lastSeq : first + count)
    disk.persist(seq)
    const ready = life.held.filter((held) => held.afterSeq <= seq)
    life.held = life.held.filter((held) => held.afterSeq > seq)
    for (const { message } of ready) this.send(actor, message)
    this.input(id, (raft, now) => raft.persisted(now, seq))
  }

  // --- delivery -----------------------------------------------------------------------------------------------------

  /** Hands `parcel` over and prints what follows indented. */
  hand(parcel: Parcel): void {
    this.note('message', `${parcel.to} takes ${showParcel(parcel)}`)
    this.indented(() => this.arrive(parcel))
  }

  private arrive(parcel: Parcel): void {
    if (parcel.type === 'snapshot') return this.finishSnapshot(parcel, this.installSnapshot(parcel))
    this.input(parcel.to, (raft, now) => raft.receive(now, parcel))
  }

  /** Whether the receiver can take anything now. */
  canTake({ to }: Parcel): boolean {
    const actor = this.actor(to)
    return actor.life !== null && !actor.hung
  }

  /** Delivers, oldest first, until nothing is left on its way that `may` arrive. */
  rest(may: (parcel: Parcel) => boolean = () => true): void {
    for (let count = 0; count < DELIVERIES_MAX; count++) {
      const parcel = this.network.takeNext((candidate) => this.canTake(candidate) && may(candidate))
      if (parcel === null) return
      this.arrive(parcel)
    }
    throw new ScriptError('the cluster does not come to rest')
  }

  /** Asked of the receiver before the stream is read, and again before the received state is swapped in. */
  offerSnapshot({ from, to, vote, session, state }: SnapshotTransfer): 'accept' | 'have-it' | 'outvoted' {
    const offer = { vote, session, logId: state.applied }
    const answer = this.input(to, (raft, now) => raft.offerSnapshot(now, from, offer))
    this.note('message', `${to} says "${answer}" to the snapshot of ${from}`)
    return answer
  }

  /** The receiver's part; the sender does not hear of the outcome yet. */
  installSnapshot(transfer: SnapshotTransfer): 'installed' | 'failed' {
    const { from, to, vote, session, state } = transfer
    if (this.network.isCut(from, to)) return 'failed'
    const answer = this.offerSnapshot(transfer)
    if (answer !== 'accept') return answer === 'outvoted' ? 'failed' : 'installed'
    const actor = this.running(to)
    actor.state = state
    actor.disk.state = state
    const offer = { vote, session, logId: state.applied, membership: state.membership }
    this.input(to, (raft, now) => raft.installSnapshot(now, from, offer))
    return 'installed'
  }

  private finishSnapshot({ from, to, session }: SnapshotTransfer, outcome: 'installed' | 'failed'): void {
    if (this.actor(from).life === null) return
    this.note(
      'message',
      `${from} learns that the snapshot to ${to} ${outcome === 'installed' ? 'is installed' : 'failed'}`,
    )
    this.input(from, (raft, now) => raft.snapshotReport(now, to, session, outcome))
  }

  // --- time ---------------------------------------------------------------------------------------------------------

  /** Time goes on and timers run; `after` runs after each of them. */
  elapse(durationMs: number, after: () => void): void {
    const end = this.now + durationMs
    after()
    for (let count = 0; count < DELIVERIES_MAX; count++) {
      const next = this.earliest()
      if (next === null || next.at > end + TIMER_SLACK_MS) {
        this.now = Math.max(this.now, end)
        return
      }
      this.now = Math.max(this.now, next.at)
      this.input(next.id, (raft, now) => raft.tick(now))
      after()
    }
    throw new ScriptError('timers do not come to rest')
  }

  private earliest(): { readonly at: number; readonly id: number } | null {
    let earliest: { readonly at: number; readonly id: number } | null = null
    for (const { id, life, hung } of this.actors.values()) {
      const at = life === null || hung ? Infinity : life.raft.deadline()
      if (at < (earliest?.at ?? Infinity)) earliest = { at, id }
    }
    return earliest
  }
}

function bothWays(a: number, b: number, act: (from: number, to: number) => void): void {
  act(a, b)
  act(b, a)
}
