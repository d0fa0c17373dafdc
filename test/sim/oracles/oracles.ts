import type { Node } from '../../../src/node/node.ts'
import type { LogWrite } from '../../../src/ports/log-store.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import type { LogId } from '../../../src/raft/index.ts'
import type { StateImage } from '../disk/state-disk.ts'
import type { Ledgers } from '../machines/ledger.ts'
import type { Machine } from '../machines/machine.ts'
import { asViolation, type World } from '../world/world.ts'
import { ClusterIdentity } from './cluster-identity.ts'
import { Commitment } from './commitment.ts'
import { DurableIndexes } from './durable-indexes.ts'
import { Elections } from './elections.ts'
import { EntryTimes } from './entry-times.ts'
import { FeatureLevels } from './feature-levels.ts'
import { LeaderAppendOnly } from './leader-append-only.ts'
import { LogMatching } from './log-matching.ts'
import { Memberships } from './memberships.ts'
import { OneCluster } from './one-cluster.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Oracle } from './oracle.ts'
import { Standstills } from './standstills.ts'
import { StateDigests } from './state-digests.ts'
import { StoredMetas } from './stored-metas.ts'
import { WipedVoters } from './wiped-voters.ts'
import { WriteAhead } from './write-ahead.ts'

interface OracleOptions {
  readonly expectsOne: boolean
  readonly expectsUpgrade: boolean
  readonly expectsTimes: boolean
  readonly removesAfterMs: number | null
}

/** All oracles that watch every event. The first objection ends the run. */
export class Oracles implements Required<Oracle> {
  readonly elections: Elections
  readonly digests: StateDigests
  readonly times: EntryTimes
  private readonly world: World
  private readonly all: readonly Oracle[]

  /**
   * `expectsOne`: the nodes form their cluster by themselves, so there must be only one. `expectsUpgrade`: some begin with an old build.
   * `expectsTimes`: clients use what is measured by the times of entries. `removesAfterMs`: nodes that are silent for so long are taken out, and
   * nobody else is; null: members may also be removed otherwise.
   */
  constructor(
    world: World,
    ledgers: Ledgers,
    machineOf: (id: number) => Machine | null,
    { expectsOne, expectsUpgrade, expectsTimes, removesAfterMs }: OracleOptions,
  ) {
    this.world = world
    this.elections = new Elections(ledgers)
    const metas = new StoredMetas()
    this.digests = new StateDigests(ledgers, metas)
    this.times = new EntryTimes(world, ledgers)
    this.all = [
      new ClusterIdentity(),
      new LogMatching(ledgers),
      new WriteAhead(),
      new DurableIndexes(ledgers, metas),
      this.elections,
      new LeaderAppendOnly(),
      // Committed entries are recorded first, then the oracles that rely on them run.
      new Commitment(ledgers, machineOf),
      new Memberships(ledgers),
      new WipedVoters(),
      this.digests,
      ...(expectsOne ? [new OneCluster()] : []),
      ...(expectsUpgrade ? [new FeatureLevels(metas)] : []),
      ...(expectsTimes ? [this.times] : []),
      ...(removesAfterMs === null ? [] : [new Standstills(removesAfterMs)]),
    ]
  }

  onSubmit(machine: Machine, write: LogWrite, last: LogId | null): void {
    this.each((oracle) => oracle.onSubmit?.(machine, write, last))
  }

  onDurable(machine: Machine, write: LogWrite): void {
    this.each((oracle) => oracle.onDurable?.(machine, write))
  }

  onSend(machine: Machine, message: PeerMessage): void {
    this.each((oracle) => oracle.onSend?.(machine, message))
  }

  onStep(machine: Machine, step: CoreStep): void {
    this.each((oracle) => oracle.onStep?.(machine, step))
  }

  onState(machine: Machine, image: StateImage): void {
    this.each((oracle) => oracle.onState?.(machine, image))
  }

  onStart(machine: Machine): void {
    this.each((oracle) => oracle.onStart?.(machine))
  }

  onOpen(machine: Machine, node: Node): void {
    this.each((oracle) => oracle.onOpen?.(machine, node))
  }

  onWipe(machine: Machine): void {
    this.each((oracle) => oracle.onWipe?.(machine))
  }

  /** The world keeps an objection. It never reaches the node that caused it. */
  private each(tell: (oracle: Oracle) => void): void {
    if (this.world.failure() !== null) return
    try {
      for (const oracle of this.all) tell(oracle)
    } catch (error) {
      this.world.fail(asViolation(error))
    }
  }
}
