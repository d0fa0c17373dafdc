import { RequestError } from '../lib/errors.ts'
import { toError } from '../lib/to-error.ts'
import { Histogram, STORAGE_SECONDS } from '../lib/histogram.ts'
import type { FormationMemory } from '../ports/automation.ts'
import type { NodeId } from '../raft/index.ts'
import { AdoptionPolicy } from './automation/adoption-policy.ts'
import { Automation } from './automation/automation.ts'
import { peerDiscoveryFor } from './automation/peer-discovery.ts'
import { Pledges } from './automation/pledges.ts'
import { clusterToken } from './codec/cluster-id.ts'
import { FailStopClock } from './driver/fail-stop-clock.ts'
import { FirstFault } from './first-fault.ts'
import { Preference } from './leadership/preference.ts'
import { Bootstrap } from './membership/bootstrap.ts'
import { Changes } from './membership/changes.ts'
import type { NodeDependencies, NodeOptions, OwnAudit, TakenBackup } from './options.ts'
import { Reception } from './reception.ts'
import { Replica } from './replica.ts'
import { Auth } from './service/auth.ts'
import { Backups } from './service/backups.ts'
import { Cluster } from './service/cluster.ts'
import { Health } from './service/health.ts'
import { Keys } from './service/keys.ts'
import { Leases } from './service/leases.ts'
import { Past } from './service/past.ts'
import { ReadGate } from './service/read-gate.ts'
import { Serving } from './service/serving.ts'
import { Status } from './service/status.ts'
import { StoreWaits } from './service/store-waits.ts'
import { Watches } from './service/watches.ts'
import { Space } from './space/space.ts'
import { openStores, type Startup } from './startup.ts'
import { FailStopStore } from './state/fail-stop-store.ts'
import { RowFetcher } from './state/row-fetcher.ts'

/** What a node offers to its front. */
export interface NodeServices {
  readonly keys: Keys
  readonly watches: Watches
  readonly history: Past
  readonly leases: Leases
  readonly auth: Auth
  readonly cluster: Cluster
  readonly health: Health
  readonly version: string
}

/** What the disk of this node says when its process starts. */
interface Memory {
  readonly knownPeers: ReadonlyMap<NodeId, string>
  readonly formation: FormationMemory
  readonly startup: Startup
  readonly lastBackup: TakenBackup | null
}

/**
 * Opens the stores, makes the node from what they hold, and lets it run. Rejects with `StorageError`, or with the error of the transport;
 * then the caller closes what it has given.
 */
export async function openNode(options: NodeOptions, given: NodeDependencies): Promise<Node> {
  const fault = new FirstFault(given.onFault)
  const state = new FailStopStore(given.state, fault)
  const audit = given.audit ?? { tell: () => undefined }
  const deps = { ...given, audit, state, clock: new FailStopClock(given.clock, fault), fault }
  const formation = await deps.formation.load()
  const lastBackup = await lastBackupOf(deps)
  const startup = await openStores(options.id, deps.log, state, deps.logger)
  await deps.noteLog?.()
  const knownPeers = await knownPeersOf(deps, startup)
  const node = new Node(options, deps, { knownPeers, formation, startup, lastBackup })
  await node.run()
  return node
}

/**
 * A node that belongs to no cluster may have been about to join one when its process died, and others may form another one of the same ids:
 * whom it knew then, it knows no more.
 */
async function knownPeersOf({ peers }: NodeDependencies, { clusterId }: Startup): Promise<ReadonlyMap<NodeId, string>> {
  const known = await peers.load()
  if (clusterId !== null) return known
  await Promise.all([...known.keys()].map(async (id) => await peers.forget(id)))
  return new Map()
}

/** Nothing but an alarm depends on it, so a node starts without it. */
async function lastBackupOf({ backups, logger }: NodeDependencies): Promise<TakenBackup | null> {
  try {
    return (await backups?.load()) ?? null
  } catch (error) {
    logger.warn({ error: toError(error).message }, 'the last backup is forgotten')
    return null
  }
}

/** The stores and the clock of these report to `fault` what fails in them. */
interface GuardedDependencies extends NodeDependencies {
  readonly state: FailStopStore
  readonly audit: OwnAudit
  readonly fault: FirstFault
}

/** One running Quorate node: a replica, with what clients and peers may ask of it and what it does by itself. `stop` ends it. */
export class Node {
  readonly services: NodeServices
  /** For observers. */
  readonly replica: Replica
  private readonly options: NodeOptions
  private readonly deps: GuardedDependencies
  private readonly serving: Serving
  private readonly space: Space
  private readonly preference: Preference
  /** Null for a node that does nothing by itself. */
  private readonly automation: Automation | null
  private readonly reception: Reception

  constructor(options: NodeOptions, deps: GuardedDependencies, memory: Memory) {
    const { knownPeers, formation, startup, lastBackup } = memory
    this.options = options
    this.deps = deps
    const { state, transport, clock, hash, logger, audit, fault, automation: plan = null, diskUsage: measure } = deps
    const token = clusterToken(options.clusterToken, hash)
    const { isCarriedBy: carriesToken } = token
    const pledges = new Pledges({ register: deps.formation, memory: formation, carriesToken, faults: fault })
    const peerDiscovery = peerDiscoveryFor(options, plan, deps)
    const adoption = new AdoptionPolicy({ pledges, peerDiscovery, carriesToken })
    this.replica = new Replica(options, { ...deps, knownPeers, adoption, token, faults: fault }, startup)
    const { replica } = this
    this.serving = new Serving(options, { replica, fault })
    this.space = new Space(options, { replica, state, transport, clock, logger, measure, faults: replica })
    const { space } = this
    this.preference = new Preference(options, { replica, clock, logger, space })
    const bootstrap = new Bootstrap(options, { replica, transport, clock, hash, logger, pledges })
    const { electionTimeoutMsMax: settlingMs } = options
    const changes = new Changes({ replica, transport, clock, settlingMs })
    const parts = { replica, bootstrap, changes, pledges, adoption, peerDiscovery }
    this.automation =
      plan === null ? null : new Automation(options, plan, { ...parts, clock, logger, audit, hash, faults: fault })
    this.services = this.makeServices(bootstrap, changes, lastBackup)
    const { serving, preference, automation } = this
    this.reception = new Reception(options, {
      replica,
      serving,
      preference,
      automation,
      token: token.digest,
      faults: fault,
    })
  }

  /** Called once, by `openNode`. */
  async run(): Promise<void> {
    const { replica, deps } = this
    await deps.transport.start(this.reception)
    replica.peers.judgeOwnToken()
    replica.consequences.connectMembers()
    replica.start()
    this.automation?.start()
    this.preference.start()
    this.space.start()
    const { ownCluster, applier } = replica
    deps.logger.info(
      { id: this.options.id, state: this.serving.state(), clusterId: ownCluster.id, applied: applier.appliedIndex },
      'node started',
    )
  }

  /**
   * Ends the requests that would hold up a stop for as long as their clients are willing to wait. Requests that can still be answered are
   * answered.
   */
  endWaits(): void {
    this.replica.waits.close(shuttingDown())
    this.replica.watches.close(shuttingDown())
    this.replica.lockWaits.close(shuttingDown())
  }

  /** Stops serving. `transfer`: a leader hands leadership over first, within one election timeout. */
  async stop({ transfer }: { readonly transfer: boolean }): Promise<void> {
    const { replica, serving, deps } = this
    const { state, fault } = deps
    if (serving.isStopping) return
    if (transfer && fault.error === null) await this.preference.handOver()
    serving.onStopping()
    state.onStopping()
    this.automation?.stop()
    this.preference.stop()
    this.space.stop()
    replica.peers.stop()
    await replica.stop(shuttingDown())
    await deps.transport.stop()
    if (fault.error !== null) return
    await state.flush()
    await state.close()
    await deps.log.close()
  }

  private makeServices(bootstrap: Bootstrap, changes: Changes, lastBackup: TakenBackup | null): NodeServices {
    const { options, deps, replica, serving, preference, automation, space } = this
    const {
      state,
      clock,
      transport,
      log,
      hash,
      fault,
      logger,
      backups: register = null,
      logSyncSeconds = new Histogram(STORAGE_SECONDS),
      warnings = () => [],
    } = deps
    const { id, addresses, electionTimeoutMsMax: settlingMs } = options
    const status = new Status(options, { replica, preference, serving, automation, space, transport, clock, warnings })
    const self = { id, ...addresses }
    const gate = new ReadGate({ replica, clock, serving, id })
    const waits = new StoreWaits(clock)
    const past = new Past({ state, applier: replica.applier, gate, waits })
    const fetcher = new RowFetcher(options, { rows: replica.rows, clock })
    const backups = new Backups(options, { replica, state, clock, serving, hash, register, logger }, lastBackup)
    const keys = new Keys({ replica, clock, fetcher, serving, gate, past, waits, space })
    return {
      watches: new Watches({ replica, serving, id }),
      keys,
      history: past,
      leases: new Leases({ replica, keys, past, gate, clock, fetcher, waits }),
      auth: new Auth({ permissions: replica.permissions, reads: replica.reads, raft: replica.raft, serving }),
      cluster: new Cluster({
        self,
        replica,
        bootstrap,
        changes,
        status,
        backups,
        clock,
        settlingMs,
        serving,
      }),
      health: new Health({ replica, serving, gate, backups, log, state, space, transport, fault, logSyncSeconds }),
      version: options.version,
    }
  }
}

function shuttingDown(): RequestError {
  return new RequestError('shutting-down', 'this node is shutting down; ask another one')
}
