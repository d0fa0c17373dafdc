import { RequestError, type ErrorCode } from '../../src/lib/errors.ts'
import type {
  ClusterStatus,
  LearnerStatus,
  LogIdView,
  MemberSpec,
  MembershipAnswer,
  MembershipView,
} from '../../src/api/cluster.ts'
import type { SettingView } from '../../src/api/diagnostics.ts'
import type { HealthCheck, MetricsView, NodeHealth } from '../../src/api/health.ts'
import type { AddressChange, ClusterControl, Services, SnapshotStream, VoterChange } from '../../src/api/services.ts'
import { MemoryAuth } from './memory-auth.ts'
import { MemoryLeases } from './memory-leases.ts'
import { MemoryKeys, NODE, type MemoryKeysOptions } from './memory-keys.ts'
import { MemoryWatches } from './memory-watches.ts'

/** Services with failures that a test can order and values that it can look at. */
export interface MemoryServices extends Services {
  readonly keys: MemoryKeys
  readonly watches: MemoryWatches
  readonly leases: MemoryLeases
  readonly auth: MemoryAuth
  readonly cluster: MemoryCluster
  readonly health: MemoryHealth
  readonly diagnostics: {
    readonly settings: SettingView[]
    readonly log: { readonly lines: string[]; forgotten: number }
  }
}

/** A cluster of which only this member is alive; enough to call every route. */
export class MemoryCluster implements ClusterControl {
  readonly self: MemberSpec = { id: NODE, raft: '127.0.0.1:7101', api: 'http://127.0.0.1:7001' }
  readonly id = NODE
  readonly calls: unknown[] = []
  readonly learnerIds = new Set<number>()
  readonly addresses = new Map<number, Omit<MemberSpec, 'id'>>()
  voters: readonly number[] = []
  at: LogIdView | null = null
  /** The leader, as far as it is known. */
  known: MemberSpec | null = this.self
  failure: RequestError | null = null
  /** The bytes of `GET /cluster/snapshot`. */
  snapshotChunks: readonly Uint8Array[] = [Buffer.from('state '), Buffer.from('of the store')]
  /** Open snapshots: from the call to the end of their chunks. */
  openSnapshots = 0
  beforeSnapshot: () => Promise<void> = async () => {}

  async initialize(
    members: readonly MemberSpec[] | null,
    wait: 'appended' | 'leader' | 'committed',
    timeoutMs: number,
  ) {
    this.calls.push({ members, wait, timeoutMs })
    this.raise()
    if (this.at !== null) {
      const facts = { lastLogId: this.at, vote: this.vote(), membership: this.view() }
      throw new RequestError('already-initialized', 'this node belongs to a cluster', facts)
    }
    const voters = members ?? [this.self]
    if (!voters.some(({ id }) => id === NODE)) throw new RequestError('not-in-members', 'this node is not in the list')
    for (const { id, raft, api } of voters) this.addresses.set(id, { raft, api })
    this.voters = voters.map(({ id }) => id).sort((a, b) => a - b)
    this.at = { term: 0, node: 0, index: 0 }
    this.known = this.self
    return { clusterId: 'c-1', logId: this.at, membership: this.view(), unanswered: [] }
  }

  status(): ClusterStatus {
    const effective = this.at === null ? null : this.answer()
    return {
      clusterId: this.at === null ? null : 'c-1',
      node: {
        id: NODE,
        state: this.at === null ? 'learner' : 'leader',
        incarnation: 'a1',
        version: '0.1.0',
        uptimeMs: 12,
        disk: { totalBytes: 1024 ** 3, freeBytes: 2 ** 29, reserveBytes: 2 ** 28, short: false },
      },
      leader: this.known?.id ?? null,
      term: 1,
      vote: this.vote(),
      lastLogId: this.at,
      committed: this.at,
      applied: this.at,
      purged: null,
      membership: effective === null ? null : { effective, committed: effective, joint: false },
      nodes: Object.fromEntries([...this.addresses.keys()].map((id) => [String(id), this.memberStatus(id)])),
      failureTolerance: Math.max(0, Math.floor((this.voters.length - 1) / 2)),
      digest: '0',
      warnings: this.at === null ? [] : [{ code: 'same-id', detail: 'an example' }],
      formation: {
        mode: 'automatic',
        decision: 'resume',
        reason: 'this node belongs to cluster c-1',
        sinceMs: 3,
        seen: 1,
        expected: 3,
        failure: null,
        sightings: [{ address: '127.0.0.1:9', node: null, detail: 'connection refused' }],
      },
      joining: { mode: 'on', decision: 'none', reason: 'no node asks to join', sinceMs: 3, failure: null },
      autopilot: { mode: 'off', decision: 'none', reason: 'the autopilot is off', sinceMs: 3 },
    }
  }

  membership(): MembershipAnswer {
    if (this.at === null) throw new RequestError('not-initialized', 'this node belongs to no cluster yet')
    return this.answer()
  }

  async changeVoters(change: VoterChange, timeoutMs: number): Promise<MembershipAnswer> {
    this.calls.push({ change, timeoutMs })
    this.raise()
    const { index } = this.membership().logId ?? { index: 0 }
    if (change.ifMembershipAt !== null && change.ifMembershipAt !== index) {
      throw new RequestError('precondition-failed', `the membership is at ${index}`, { currentRevision: index })
    }
    const voters = this.votersAfter(change)
    if (voters.length === 0) throw new RequestError('empty-membership', 'a cluster needs a voter')
    const unknown = voters.find((id) => !this.addresses.has(id))
    if (unknown !== undefined) throw new RequestError('unknown-voter', `node ${unknown} is not a learner`)
    for (const id of this.voters) {
      if (voters.includes(id)) continue
      if (change.retain) this.learnerIds.add(id)
      else this.addresses.delete(id)
    }
    for (const id of voters) this.learnerIds.delete(id)
    this.voters = voters
    this.advance()
    return this.answer()
  }

  async addLearner(member: MemberSpec, wait: boolean, timeoutMs: number) {
    this.calls.push({ member, wait, timeoutMs })
    this.raise()
    this.membership()
    const known = this.addresses.get(member.id)
    if (known !== undefined && known.raft !== member.raft) {
      throw new RequestError('address-conflict', `node ${member.id} is known at another address`)
    }
    if (known === undefined) {
      this.addresses.set(member.id, { raft: member.raft, api: member.api })
      this.learnerIds.add(member.id)
      this.advance()
    }
    return { logId: this.at, membership: this.view(), lag: 0, caughtUp: wait }
  }

  async removeLearner(id: number): Promise<MembershipAnswer> {
    this.membership()
    if (!this.learnerIds.delete(id)) throw new RequestError('learner-not-found', `node ${id} is no learner`)
    this.addresses.delete(id)
    this.advance()
    return this.answer()
  }

  async setAddresses(change: AddressChange, timeoutMs: number): Promise<MembershipAnswer> {
    this.calls.push({ change, timeoutMs })
    this.raise()
    this.membership()
    const { id, raft, api } = change.member
    if (!this.addresses.has(id)) throw new RequestError('node-not-found', `node ${id} is not a member`)
    this.addresses.set(id, { raft, api })
    this.advance()
    return this.answer()
  }

  async learners(): Promise<readonly LearnerStatus[]> {
    this.raise()
    return [...this.learnerIds].map((id) => ({ id, ...this.memberStatus(id), caughtUp: true }))
  }

  leader() {
    return this.known
  }

  async transfer(to: number | null, timeoutMs: number) {
    this.calls.push({ to, timeoutMs })
    this.raise()
    const target = to ?? this.voters.find((id) => id !== NODE)
    if (target === undefined) throw new RequestError('no-transfer-target', 'there is no other voter')
    if (!this.addresses.has(target)) throw new RequestError('node-not-found', `there is no node ${target}`)
    return { leader: target }
  }

  campaign(): void {
    this.calls.push('campaign')
    this.raise()
  }

  async snapshot(): Promise<SnapshotStream> {
    this.raise()
    const { logId } = this.membership()
    await this.beforeSnapshot()
    this.openSnapshots += 1
    const at = logId ?? { term: 0, node: 0, index: 0 }
    return { logId: at, revision: at.index, bytesEstimate: 18, chunks: this.chunks() }
  }

  async purge() {
    this.raise()
    return { purged: this.at }
  }

  private async *chunks() {
    try {
      yield* this.snapshotChunks
    } finally {
      this.openSnapshots -= 1
    }
  }

  private votersAfter({ voters }: VoterChange): readonly number[] {
    if (!('add' in voters)) return [...voters].sort((a, b) => a - b)
    const kept = this.voters.filter((id) => !voters.remove.includes(id))
    return [...new Set([...kept, ...voters.add])].sort((a, b) => a - b)
  }

  private advance(): void {
    this.at = { term: 1, node: NODE, index: (this.at?.index ?? 0) + 1 }
  }

  private vote() {
    return { term: 1, node: NODE, committed: true }
  }

  private view(): MembershipView {
    const nodes = Object.fromEntries([...this.addresses].map(([id, addresses]) => [String(id), addresses]))
    return { configs: this.voters.length === 0 ? [] : [this.voters], learners: [...this.learnerIds], nodes }
  }

  private answer(): MembershipAnswer {
    return { membership: this.view(), logId: this.at, committed: true, joint: false }
  }

  private memberStatus(id: number) {
    const addresses = this.addresses.get(id) ?? { raft: '', api: '' }
    const role = this.learnerIds.has(id) ? ('learner' as const) : ('voter' as const)
    const sending = {
      state: 'sending' as const,
      attempt: 2,
      bytesSent: 10,
      bytesEstimate: 40,
      percent: 25,
      rowsSent: 3,
      remainingMs: 11_500,
      lastFailure: 'the connection broke',
    }
    const catchUp =
      role === 'learner'
        ? { phase: 'snapshot' as const, remainingMs: 11_500, snapshot: sending }
        : { phase: id === NODE ? null : ('caught-up' as const), remainingMs: null, snapshot: null }
    return {
      ...addresses,
      role,
      priority: id === NODE ? 50 : null,
      reachable: id === NODE ? null : true,
      matched: 0,
      lag: 0,
      lastContactMs: 3.5,
      ...catchUp,
    }
  }

  private raise(): void {
    const { failure } = this
    this.failure = null
    if (failure !== null) throw failure
  }
}

const emptyHistogram = { bounds: [0.001, 0.01], counts: [2, 1], sum: 0.5, count: 4 }

export class MemoryHealth implements NodeHealth {
  checks: HealthCheck[] = [
    { name: 'store', ok: true, detail: 'open' },
    { name: 'leader', ok: true, detail: 'node 1' },
  ]
  failure: ErrorCode | null = null

  live(): readonly HealthCheck[] {
    return this.checks.filter(({ name }) => name !== 'leader')
  }

  async ready(): Promise<readonly HealthCheck[]> {
    return this.checks
  }

  metrics(): MetricsView {
    return {
      hasLeader: true,
      isLeader: true,
      isLearner: false,
      term: 3,
      committedIndex: 41,
      appliedIndex: 40,
      lastIndex: 42,
      purgedIndex: 7,
      revision: 40,
      historyChanges: 12,
      historyBytes: 3456,
      compactedRevision: 21,
      leaderChanges: 2,
      elections: 1,
      proposalsCommitted: 30,
      proposalsApplied: 29,
      proposalsPending: 1,
      proposalsFailed: 0,
      writesRefused: 0,
      readsPending: 0,
      readsServed: 12,
      logBytes: 1024,
      stateBytes: 2048,
      disk: { totalBytes: 1024 ** 3, freeBytes: 2 ** 29, reserveBytes: 2 ** 28, short: false },
      refusesGrowth: false,
      growthRefused: 3,
      snapshotsSent: 0,
      snapshotsInstalled: 0,
      leases: { leases: 5, attachedKeys: 7, locks: 2, lockWaiters: 1, expired: 11 },
      backups: { running: 0, completed: 2, failed: 1, last: { takenAt: 1_700_000_000, seconds: 1.5, bytes: 18 } },
      watches: { watchers: 3, watchersMax: 100, behind: 1, changesSent: 17, fallenBehind: 2, recentBytes: 4096 },
      writeSeconds: emptyHistogram,
      logSyncSeconds: emptyHistogram,
      applySeconds: emptyHistogram,
      peers: [{ id: 2, connected: true, roundTripSeconds: 0.0004, matchedIndex: null }],
    }
  }
}

export function memoryServices(valueBytesMax = 1024, machine: MemoryKeysOptions = {}): MemoryServices {
  const watches = new MemoryWatches()
  const keys = new MemoryKeys(machine, (changes) => watches.onChanged(changes))
  return {
    keys,
    history: keys,
    leases: new MemoryLeases(keys),
    watches,
    auth: new MemoryAuth(keys),
    cluster: new MemoryCluster(),
    health: new MemoryHealth(),
    version: '0.1.0',
    valueBytesMax,
    logLinesDropped: () => 5,
    diagnostics: {
      settings: [
        { name: 'id', value: '1', source: 'flag', secret: false },
        { name: 'cluster-token', value: null, source: 'QUORATE_CLUSTER_TOKEN', secret: true },
      ],
      log: {
        lines: [
          '{"level":30,"time":1,"node":1,"msg":"one"}',
          '{"level":40,"time":2.5,"node":1,"code":"x","msg":"two"}',
        ],
        forgotten: 3,
      },
    },
    certificates: () => [
      {
        plane: 'api',
        expiries: [{ role: 'certificate', seconds: 2_000_000_000, lifetimeSeconds: 7_776_000 }],
        reloads: 2,
        failures: 1,
      },
    ],
  }
}
