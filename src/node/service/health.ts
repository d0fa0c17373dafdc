import type { HealthCheck, MetricsView, NodeHealth } from '../../api/health.ts'
import type { LogStore } from '../../ports/log-store.ts'
import type { StateStore } from '../../ports/state-store.ts'
import type { Transport } from '../../ports/transport.ts'
import { oldestRevision } from '../../kv/index.ts'
import { indexOf, type LogIndex } from '../../raft/index.ts'
import type { Histogram } from '../../lib/histogram.ts'
import { toError } from '../../lib/to-error.ts'
import type { Replica } from '../replica.ts'
import type { Space } from '../space/space.ts'
import type { Backups } from './backups.ts'
import type { ReadGate } from './read-gate.ts'
import type { Serving } from './serving.ts'

export interface HealthDependencies {
  readonly replica: Replica
  readonly serving: Serving
  /** What lets reads through. */
  readonly gate: Pick<ReadGate, 'passed'>
  readonly backups: Backups
  readonly log: LogStore
  readonly state: StateStore
  readonly space: Space
  readonly transport: Transport
  /** What has broken this node, if anything has. */
  readonly fault: { readonly error: Error | null }
  /** How long each sync of the log took. */
  readonly logSyncSeconds: Histogram
}

const READY_TIMEOUT_MS = 1_000

/** Whether this node is fit, and its metrics. */
export class Health implements NodeHealth {
  private readonly deps: HealthDependencies
  /** What had been committed and applied when the node started. Counters begin with the process, as Prometheus wants them to. */
  private readonly committedBefore: LogIndex
  private readonly appliedBefore: LogIndex

  constructor(deps: HealthDependencies) {
    this.deps = deps
    const { raft, applier } = deps.replica
    this.committedBefore = raft.view().committed
    this.appliedBefore = applier.appliedIndex
  }

  live(): readonly HealthCheck[] {
    const { error: fault } = this.deps.fault
    return [{ name: 'stores', ok: fault === null, detail: fault === null ? 'ok' : fault.message }]
  }

  async ready(): Promise<readonly HealthCheck[]> {
    const view = this.deps.replica.raft.view()
    const checks: HealthCheck[] = [
      ...this.live(),
      this.memberCheck(),
      { name: 'leader', ok: view.leader !== null, detail: view.leader === null ? 'none known' : `node ${view.leader}` },
    ]
    if (checks.every(({ ok }) => ok)) checks.push(await this.readCheck())
    return checks
  }

  private memberCheck(): HealthCheck {
    const { serving } = this.deps
    const name = 'member'
    try {
      serving.check()
      return { name, ok: true, detail: serving.state() }
    } catch (error) {
      return { name, ok: false, detail: toError(error).message }
    }
  }

  private async readCheck(): Promise<HealthCheck> {
    try {
      await this.deps.replica.reads.barrier(READY_TIMEOUT_MS)
      return { name: 'read', ok: true, detail: 'ok' }
    } catch (error) {
      return { name: 'read', ok: false, detail: toError(error).message }
    }
  }

  metrics(): MetricsView {
    const { replica, log, state, space } = this.deps
    const view = replica.raft.view()
    const machine = replica.applier.machineState
    return {
      hasLeader: view.leader !== null,
      isLeader: view.state === 'leader',
      isLearner: view.state === 'learner',
      term: view.vote.leaderId.term,
      committedIndex: view.committed,
      appliedIndex: replica.applier.appliedIndex,
      lastIndex: indexOf(view.last),
      purgedIndex: indexOf(view.purged),
      revision: machine.revision,
      historyChanges: machine.history?.changes ?? 0,
      historyBytes: machine.history?.bytes ?? 0,
      compactedRevision: oldestRevision(machine),
      leases: { ...machine.leases, expired: replica.lessor.expired },
      leaderChanges: replica.journal.leaderChanges,
      elections: replica.journal.elections,
      proposalsCommitted: view.committed - this.committedBefore,
      proposalsApplied: replica.applier.appliedIndex - this.appliedBefore,
      proposalsPending: replica.proposals.count,
      proposalsFailed: replica.proposals.failed,
      writesRefused: replica.proposals.refused,
      readsPending: replica.waits.room.count,
      readsServed: this.deps.gate.passed,
      logBytes: log.sizeBytes(),
      stateBytes: state.sizeBytes(),
      disk: space.view,
      refusesGrowth: space.isRefusing,
      growthRefused: space.refused,
      snapshotsSent: replica.snapshotSender.sent,
      snapshotsInstalled: replica.snapshotReceiver.installed,
      backups: this.deps.backups.view(),
      watches: replica.watches.view(),
      writeSeconds: replica.proposals.answerSeconds,
      logSyncSeconds: this.deps.logSyncSeconds,
      applySeconds: replica.applier.applySeconds,
      peers: this.peers(),
    }
  }

  private peers(): MetricsView['peers'] {
    const { replica, transport } = this.deps
    const view = replica.raft.view()
    const others = [...view.effective.membership.nodes.keys()].filter((id) => id !== view.id).sort((a, b) => a - b)
    return others.map((id) => {
      const roundTripMs = transport.roundTripMs(id)
      return {
        id,
        connected: transport.isConnected(id),
        roundTripSeconds: roundTripMs === null ? null : roundTripMs / 1000,
        matchedIndex: view.followers.find((one) => one.id === id)?.matched ?? null,
      }
    })
  }
}
