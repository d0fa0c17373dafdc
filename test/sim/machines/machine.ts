import { createHash } from 'node:crypto'
import { FEATURE_LEVEL, type MachineState } from '../../../src/kv/index.ts'
import { InvariantError } from '../../../src/lib/assert.ts'
import { StorageError } from '../../../src/lib/errors.ts'
import { openNode, type Node, type NodeServices } from '../../../src/node/node.ts'
import { newerBuild, unsoundPeer } from '../../../src/node/peers/complaints.ts'
import type { AutomationPlan, FormationRegister } from '../../../src/ports/automation.ts'
import type { Logger, NodeDependencies, NodeOptions } from '../../../src/node/options.ts'
import type { LogWrite } from '../../../src/ports/log-store.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import type { LogId, LogIndex, NodeAddresses, NodeId, Raft, RaftView } from '../../../src/raft/index.ts'
import { calmDisk, type DiskWeather } from '../disk/faults.ts'
import { LogDisk } from '../disk/log-disk.ts'
import type { LogImage } from '../disk/log-image.ts'
import { SimLogStore, type WriteMoment } from '../disk/log-store.ts'
import { FormationDisk, SimFormationRegister } from '../disk/formation-register.ts'
import { SimPeerRegister, type PeerDisk } from '../disk/peer-register.ts'
import { StateDisk, type StateImage } from '../disk/state-disk.ts'
import { SimStateStore } from '../disk/state-store.ts'
import type { LeaderWord } from '../history/operation.ts'
import type { Network } from '../network/network.ts'
import type { SnapshotStream } from '../network/snapshot-stream.ts'
import { SimTransport } from '../network/transport.ts'
import { ObservedRaft } from './observed-raft.ts'
import type { CoreStep } from './core-step.ts'
import type { ImportWrites } from '../../../src/http/ranges/import-writes.ts'
import type { PlantedBug } from './planted-bug.ts'
import { SimProcess, type ProcessPace } from '../world/process.ts'
import { Violation } from '../world/violation.ts'
import type { World } from '../world/world.ts'

/** Moments in the life of a process at which it can be crashed. */
export type CrashMoment =
  'write-begin' | 'write-end' | 'send' | 'apply' | 'snapshot-chunk' | 'snapshot-commit' | 'pledge-begin' | 'pledge-end'

export type CrashKind = 'kill' | 'power'

/** All processes have stood still at once. */
export interface StoodStill {
  /** When this one went on, on its own clock. */
  readonly until: number
  /** Of whom it knew then that they are there, as the leader; null: it did not lead. */
  readonly present: ReadonlySet<NodeId> | null
}

/** Events of a machine for the code that watches the run. */
export interface MachineObserver {
  onSubmit(machine: Machine, write: LogWrite, last: LogId | null): void
  onDurable(machine: Machine, write: LogWrite): void
  onSend(machine: Machine, message: PeerMessage): void
  onStep(machine: Machine, step: CoreStep): void
  onState(machine: Machine, image: StateImage): void
  onStart(machine: Machine): void
  /** The node has read its disks. */
  onOpen(machine: Machine, node: Node): void
  onWipe(machine: Machine): void
  onMoment(machine: Machine, moment: CrashMoment, stream: SnapshotStream | null): void
  /** The process has stopped on its own. */
  onFault(machine: Machine, error: Error): void
}

export interface MachineOptions {
  readonly id: NodeId
  readonly addresses: NodeAddresses
  readonly node: Omit<NodeOptions, 'id' | 'addresses' | 'incarnation'>
  readonly pace: ProcessPace
  readonly clockRate: number
  readonly cachedProbability: number
  readonly automation: AutomationPlan
}

/** One computer with its disk. The processes of a node run on it, one life after the other. */
export class Machine {
  readonly id: NodeId
  addresses: NodeAddresses
  readonly weather: DiskWeather = calmDisk()
  log = new LogDisk()
  /** The contents of the disk when the data directory was lost. Acknowledgements from before may still be on their way. */
  readonly formerLogs: LogImage[] = []
  state = new StateDisk()
  /** The speed of this machine's clock. */
  clockRate: number
  pace: ProcessPace
  process: SimProcess | null = null
  incarnation: string
  /** The time of the world from which a build is there that knows all feature levels; the one before knows none. */
  upgradedAt = 0
  /** The highest feature level that the build of its process knows. */
  featureLevel = 0
  /** Why the machine cannot be started any more with its data; null while it can. */
  lost: string | null = null
  /** A restart is already scheduled. */
  restartPlanned = false
  /** Its disk was damaged on purpose, so it may refuse to start. */
  damaged = false
  /** The latest report of a leader to the running process: the time on its own clock, and the commit index. */
  heard: LeaderWord[] = []
  /** When that process has answered that it was removed: the number of words it had heard, and its membership; null before. */
  saidRemoved: { readonly words: number; readonly effective: LogId | null } | null = null
  /** When its process last stood still together with all others; null: never in this life. */
  stoodStill: StoodStill | null = null
  private peerDisk: PeerDisk = new Map()
  private formationDisk = new FormationDisk()
  /** The node of the running process; null until it has started. */
  private node: Node | null = null
  /** What its process was given; null while there is none. */
  private given: NodeDependencies | null = null
  /** Its core, as soon as there is one. */
  private core: Raft | null = null
  private store: SimLogStore | null = null
  private submittedClusterId = ''
  private lives = 0
  private wipes = 0
  private readonly options: MachineOptions
  private readonly world: World
  private readonly network: Network
  private readonly observer: MachineObserver
  private readonly bug: PlantedBug | null

  constructor(
    options: MachineOptions,
    dependencies: { world: World; network: Network; observer: MachineObserver; bug: PlantedBug | null },
  ) {
    this.options = options
    this.id = options.id
    this.addresses = options.addresses
    this.pace = options.pace
    this.clockRate = options.clockRate
    this.world = dependencies.world
    this.network = dependencies.network
    this.observer = dependencies.observer
    this.bug = dependencies.bug
    this.incarnation = this.newIncarnation()
    this.network.addHost(this.id, this.addresses.raft)
  }

  get name(): string {
    return `n${this.id}`
  }

  /** Whether its data directory was ever deleted. */
  get wiped(): boolean {
    return this.wipes > 1
  }

  /** An import begins here. */
  plantImport(writes: ImportWrites): void {
    this.bug?.plantImport?.(writes, this.id)
  }

  /** The name of one life of its process. */
  get lifeName(): string {
    return `n${this.id}/${this.lives}`
  }

  get isUp(): boolean {
    return this.process !== null
  }

  /** The services of the node; null until it has started. */
  get services(): NodeServices | null {
    return this.node?.services ?? null
  }

  get view(): RaftView | null {
    return this.core?.view() ?? null
  }

  get appliedDigest(): string | null {
    return this.node?.replica.applier.digest ?? null
  }

  /** The feature level of its cluster, as of everything that it has applied. */
  get appliedLevel(): number {
    return this.node?.replica.applier.level ?? 0
  }

  /** What its store carries beside its rows, as of everything that it has applied; null until the node has started. */
  get machineState(): MachineState | null {
    return this.node?.replica.applier.machineState ?? null
  }

  /** The oldest revision that can be read, as of everything that it has applied. */
  get oldestRevision(): number {
    return this.node?.replica.applier.compactedRevision ?? 0
  }

  /** The cluster that it belongs to according to its disk; empty for none. */
  get clusterId(): string {
    return this.submittedClusterId
  }

  /** The log id at `index` among the entries submitted to the log in this life. */
  logIdSubmitted(index: LogIndex): LogId | null {
    return (this.store?.image ?? this.log.durable).logIdAt(index)
  }

  /** The incarnation of a peer that this machine has recorded. */
  remembers(id: NodeId): string | null {
    return this.peerDisk.get(id) ?? null
  }

  start(): void {
    if (this.process !== null || this.lost !== null) return
    this.restartPlanned = false
    this.lives += 1
    this.network.setPowered(this.addresses.raft, true)
    const process = new SimProcess({ name: this.lifeName, pace: this.pace, rate: this.clockRate }, this.world)
    this.process = process
    this.heard = []
    this.saidRemoved = null
    this.stoodStill = null
    this.submittedClusterId = this.log.durable.hardState.clusterId ?? ''
    this.world.note(this.name, `starts as ${this.lifeName}`)
    this.observer.onStart(this)
    const options = this.nodeOptions()
    const dependencies = this.dependencies(process)
    const begun = new Promise<void>((resolve) => process.later(0.1, resolve))
    const opened = begun.then(() => openNode(options, dependencies))
    this.given = dependencies
    opened.then(
      (node) => {
        if (!process.alive) return
        this.node = node
        this.bug?.plant?.(node)
        // The node can start with the damage that was done, so it has no excuse for refusing later.
        this.damaged = false
        this.observer.onOpen(this, node)
      },
      (error: unknown) => this.exit(process, asError(error)),
    )
  }

  /** Crashes the process, or the whole machine. What was not synced may be lost. */
  crash(kind: CrashKind): void {
    const { process } = this
    if (process === null) return
    this.world.note(this.name, kind === 'power' ? 'loses its power' : 'is killed')
    if (kind === 'power') this.network.setPowered(this.addresses.raft, false)
    this.endProcess(process)
    this.loseUnsynced(kind)
  }

  /**
   * Without power, any part of the unsynced data may have been written. A process that dies loses at most what the kernel did
   * not have yet.
   */
  private loseUnsynced(kind: CrashKind): void {
    const { unsynced } = this.state
    if (unsynced.length === 0 || (kind === 'kill' && this.world.random.chance(0.5))) return
    const kept = this.world.random.integer(0, unsynced.length + 1)
    if (kept < unsynced.length) this.world.census.count('disk-lost-unsynced-state')
    if (kind === 'power') {
      this.state.sync(kept)
      this.state.unsynced = []
    } else {
      this.state.unsynced = unsynced.slice(0, kept)
    }
  }

  /** Stops as an operator does: the node hands over leadership, closes its files and ends. It is killed when that takes too long. */
  shutDown(onDown: () => void): void {
    const { process, given } = this
    if (process === null || given === null) return
    this.world.note(this.name, 'is told to stop')
    const down = (): void => {
      if (this.process !== process) return
      this.endProcess(process)
      onDown()
    }
    process.deliver('io', () => {
      this.stopNode(given).then(
        () => {
          this.world.note(this.name, 'has stopped')
          this.world.after(0, down)
        },
        (error: unknown) => this.exit(process, asError(error)),
      )
    })
    this.world.after(8_000, () => {
      if (this.process === process) {
        this.crash('kill')
        onDown()
      }
    })
  }

  /** A program that is told to stop while its node starts does not wait for the node, and closes what it has given to it. */
  private async stopNode({ transport, state, log }: NodeDependencies): Promise<void> {
    if (this.node !== null) return this.node.stop({ transfer: true })
    await transport.stop()
    await state.flush()
    await state.close()
    await log.close()
  }

  /** Deletes the data directory. The next start is that of a new node with an old id. */
  wipe(): void {
    this.crash('kill')
    this.world.note(this.name, 'loses its data directory')
    this.formerLogs.push(this.log.durable)
    this.log = new LogDisk()
    this.state = new StateDisk()
    this.peerDisk = new Map()
    this.formationDisk = new FormationDisk()
    this.submittedClusterId = ''
    this.incarnation = this.newIncarnation()
    this.lost = null
    this.damaged = false
    this.observer.onWipe(this)
  }

  /** Ends the process. It will be found at another address when it starts again. */
  move(addresses: NodeAddresses, refusesThere: boolean): void {
    this.crash('kill')
    this.world.note(this.name, `moves to ${addresses.raft}`)
    this.network.moveHost(this.addresses.raft, addresses.raft, refusesThere)
    this.addresses = addresses
  }

  private newIncarnation(): string {
    this.wipes += 1
    return `i${this.options.id}-${this.wipes}`
  }

  private endProcess(process: SimProcess): void {
    this.process = null
    this.node = null
    this.given = null
    this.core = null
    this.store = null
    process.end()
  }

  /** The program ended on its own: it could not start, or must not go on. */
  private exit(process: SimProcess, error: Error): void {
    if (this.process !== process) return
    this.world.note(this.name, `exits: ${error.message}`)
    if (error instanceof StorageError && error.kind === 'refused') {
      this.lost = error.message
      if (!this.damaged) {
        this.world.fail(
          new Violation('recovery', `${this.name} refuses to start with undamaged disks: ${error.message}`),
        )
      }
    }
    if (error instanceof InvariantError || !(error instanceof StorageError)) {
      this.world.fail(
        new Violation('invariant', `${this.name} stops: ${error.name}: ${error.message}\n${error.stack ?? ''}`),
      )
    }
    this.crash('kill')
    // As the program around the node does: an unreadable state is deleted and rebuilt from the log.
    if (this.state.damaged) this.state.wipe()
    this.observer.onFault(this, error)
  }

  private nodeOptions(): NodeOptions {
    const { node } = this.options
    this.featureLevel = this.world.now() < this.upgradedAt ? 0 : (node.featureLevelMax ?? FEATURE_LEVEL)
    const { id, addresses, incarnation, featureLevel: featureLevelMax } = this
    const options = { ...node, featureLevelMax, id, addresses, incarnation }
    return this.bug?.changeOptions?.(options) ?? options
  }

  private dependencies(process: SimProcess): NodeDependencies {
    const { world, bug } = this
    const log = this.logStore(process)
    const state = this.stateStore(process)
    const transport = this.transport(process)
    const peers = new SimPeerRegister({ world, process, disk: this.peerDisk, weather: this.weather })
    const RaftClass = bug?.raft ?? ObservedRaft
    return {
      log: bug?.wrapLog?.(log) ?? log,
      state: bug?.wrapState?.(state) ?? state,
      transport: bug?.wrapTransport?.(transport) ?? transport,
      clock: process.clock,
      random: process.random,
      peers: bug?.wrapPeers?.(peers) ?? peers,
      formation: this.formationRegister(process),
      logger: this.logger(process),
      automation: this.options.automation,
      hash: bug?.hash ?? ((text) => createHash('sha256').update(text).digest('hex')),
      hashKey: [this.id, this.lives],
      onFault: (error) => {
        // The oracles watch from within a step of the core.
        if (error instanceof Violation) world.fail(error)
        world.after(0, () => this.exit(process, error))
      },
      createRaft: (...parts) => {
        const core = new RaftClass((step) => this.observer.onStep(this, step), ...parts)
        this.core = core
        return core
      },
    }
  }

  private logStore(process: SimProcess): SimLogStore {
    const store = new SimLogStore({
      world: this.world,
      process,
      disk: this.log,
      weather: this.weather,
      cachedProbability: this.options.cachedProbability,
      onSubmit: (write, last) => {
        if (write.type === 'hard-state') this.submittedClusterId = write.state.clusterId ?? ''
        this.observer.onSubmit(this, write, last)
      },
      onWrite: (moment) => this.observer.onMoment(this, `write-${moment}`, null),
      onDurable: (write) => this.observer.onDurable(this, write),
    })
    this.store = store
    return store
  }

  private formationRegister(process: SimProcess): FormationRegister {
    const { world, formationDisk: disk, weather } = this
    const onWrite = (moment: WriteMoment): void => this.observer.onMoment(this, `pledge-${moment}`, null)
    return new SimFormationRegister({ world, process, disk, weather, onWrite })
  }

  private stateStore(process: SimProcess): SimStateStore {
    return new SimStateStore({
      world: this.world,
      process,
      disk: this.state,
      weather: this.weather,
      onState: (image) => this.observer.onState(this, image),
      onWrite: () => this.observer.onMoment(this, 'apply', null),
      onCommit: () => this.observer.onMoment(this, 'snapshot-commit', null),
    })
  }

  private transport(process: SimProcess): SimTransport {
    return new SimTransport(
      { id: this.id, address: this.addresses.raft },
      {
        network: this.network,
        process,
        onSend: (message) => {
          this.observer.onSend(this, message)
          this.observer.onMoment(this, 'send', null)
        },
        onReceive: (message) => {
          if (message.type !== 'append-request') return
          const { committed, vote } = message
          this.heard.push({ at: process.clock.now(), committed, leaderId: vote.leaderId })
        },
        onSnapshotChunk: (stream) => this.observer.onMoment(this, 'snapshot-chunk', stream),
      },
    )
  }

  private logger(process: SimProcess): Logger {
    const note = (facts: object, event: string): void => {
      if (this.world.isTracing && process.alive) this.world.note(process.name, `${event} ${JSON.stringify(facts)}`)
    }
    const warn = (facts: object, event: string): void => {
      note(facts, event)
      // All nodes follow the protocol, and are of one build, unless a bug was planted in one. A refusal shows such a bug, or a wrong check.
      if (event !== unsoundPeer.event && event !== newerBuild.event) return
      const violation = new Violation('soundness', `${process.name} refuses a peer: ${JSON.stringify(facts)}`)
      this.world.after(0, () => {
        throw violation
      })
    }
    return { debug: note, info: note, warn, error: note }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
