import {
  collectDefaultMetrics,
  Counter,
  Gauge,
  Registry,
  type CounterConfiguration,
  type GaugeConfiguration,
} from 'prom-client'
import { assert } from '../../lib/assert.ts'
import type { CertificatesView, HistogramView, MetricsView } from '../../api/health.ts'
import type { Services } from '../../api/services.ts'
import { warningCodes } from '../../api/warnings.ts'
import { countedStages, type Stage } from '../../lib/stages.ts'
import { EventLoopDelay } from './event-loop-delay.ts'
import { histogramText } from './histogram-text.ts'

type Read = (view: MetricsView) => number

const gauges: readonly (readonly [name: string, help: string, read: Read])[] = [
  ['has_leader', 'Whether this node knows a leader.', (view) => Number(view.hasLeader)],
  ['is_leader', 'Whether this node leads.', (view) => Number(view.isLeader)],
  ['is_learner', 'Whether this node has no vote.', (view) => Number(view.isLearner)],
  ['term', 'The current term.', (view) => view.term],
  ['committed_index', 'The last index known to be committed.', (view) => view.committedIndex],
  ['applied_index', 'The last index applied to the state.', (view) => view.appliedIndex],
  ['last_log_index', 'The last index in the log.', (view) => view.lastIndex],
  ['purged_index', 'The last index freed from the log.', (view) => view.purgedIndex],
  ['revision', 'The revision of the store.', (view) => view.revision],
  ['history_changes', 'Changes that history keeps.', (view) => view.historyChanges],
  ['history_bytes', 'Bytes of the rows of history.', (view) => view.historyBytes],
  ['compacted_revision', 'The oldest revision that can be read.', (view) => view.compactedRevision],
  ['leases', 'Leases, those of locks and of keys with a time to live included.', ({ leases }) => leases.leases],
  ['lease_attached_keys', 'Keys that belong to a lease.', ({ leases }) => leases.attachedKeys],
  ['locks_held', 'Locks that are held.', ({ leases }) => leases.locks],
  ['lock_waiters', 'Requests that wait for a lock.', ({ leases }) => leases.lockWaiters],
  ['proposals_pending', 'Writes that wait for their outcome.', (view) => view.proposalsPending],
  ['reads_pending', 'Reads that wait for their revision.', (view) => view.readsPending],
  ['watchers', 'Watches that are open.', ({ watches }) => watches.watchers],
  ['watchers_max', 'How many watches may be open at once.', ({ watches }) => watches.watchersMax],
  ['watchers_behind', 'Of those, the ones that are reading what they have missed.', ({ watches }) => watches.behind],
  ['watch_recent_bytes', 'Size of the recent changes in memory.', ({ watches }) => watches.recentBytes],
  ['backups_running', 'Backups that are being read from this node.', ({ backups }) => backups.running],
  ['log_size_bytes', 'Size of the log on disk.', (view) => view.logBytes],
  ['state_size_bytes', 'Size of the state on disk.', (view) => view.stateBytes],
  ['growth_refused', 'Whether writes that take space are refused.', (view) => Number(view.refusesGrowth)],
]

/** Of the last whole backup; left out where there is none. */
const backupGauges: readonly (readonly [
  name: string,
  help: string,
  read: (last: NonNullable<MetricsView['backups']['last']>) => number,
])[] = [
  [
    'backup_last_success_timestamp_seconds',
    'When the last whole backup was taken from this node, in seconds since 1970.',
    (last) => last.takenAt,
  ],
  ['backup_last_duration_seconds', 'How long that backup took.', (last) => last.seconds],
  ['backup_last_size_bytes', 'How large that backup is.', (last) => last.bytes],
]

/** Of the disk of the data directory; left out until it is measured. */
const diskGauges: readonly (readonly [
  name: string,
  help: string,
  read: (disk: NonNullable<MetricsView['disk']>) => number,
])[] = [
  ['disk_size_bytes', 'Size of the file system of the data directory.', (disk) => disk.totalBytes],
  ['disk_free_bytes', 'What the node may still take of it.', (disk) => disk.freeBytes],
  ['disk_reserve_bytes', 'What is to stay free of it.', (disk) => disk.reserveBytes],
  [
    'disk_short',
    'Whether less than the reserve was free, and not yet a quarter more since then.',
    (disk) => Number(disk.short),
  ],
]

const counters: readonly (readonly [name: string, help: string, read: Read])[] = [
  ['reads_total', 'Reads of keys that were let through: a page or a stream is one.', (view) => view.readsServed],
  ['leader_changes_total', 'Changes of leader that this node has seen.', (view) => view.leaderChanges],
  ['elections_total', 'Elections that this node has stood in.', (view) => view.elections],
  [
    'proposals_committed_total',
    'Entries that this node, since it started, has learned to be committed.',
    (view) => view.proposalsCommitted,
  ],
  ['proposals_applied_total', 'Entries that this node has applied since it started.', (view) => view.proposalsApplied],
  ['proposals_failed_total', 'Writes that failed or whose outcome is unknown.', (view) => view.proposalsFailed],
  ['writes_refused_total', 'Writes refused because too many waited.', (view) => view.writesRefused],
  [
    'writes_refused_for_space_total',
    'Writes refused because the disks of too many nodes are below their reserves.',
    (view) => view.growthRefused,
  ],
  [
    'leases_expired_total',
    'Leases that this node, as leader, has ended because their time was up.',
    ({ leases }) => leases.expired,
  ],
  ['watch_changes_sent_total', 'Changes that watchers were given.', ({ watches }) => watches.changesSent],
  [
    'watchers_fallen_behind_total',
    'How often a watcher was too slow for what is kept in memory.',
    ({ watches }) => watches.fallenBehind,
  ],
  ['backups_total', 'Backups that were read to their end.', ({ backups }) => backups.completed],
  ['backups_failed_total', 'Backups that broke off.', ({ backups }) => backups.failed],
  ['snapshots_sent_total', 'Snapshots sent to other nodes.', (view) => view.snapshotsSent],
  ['snapshots_installed_total', 'Snapshots installed on this node.', (view) => view.snapshotsInstalled],
]

const peerGauges: readonly (readonly [
  name: string,
  help: string,
  read: (peer: MetricsView['peers'][number]) => number | null,
])[] = [
  ['peer_connected', 'Whether the connection to the peer is up.', (peer) => Number(peer.connected)],
  ['peer_round_trip_seconds', 'The last round trip to the peer.', (peer) => peer.roundTripSeconds],
  ['peer_matched_index', 'The last index that the peer is known to hold.', (peer) => peer.matchedIndex],
]

const histograms: readonly (readonly [name: string, help: string, read: (view: MetricsView) => HistogramView])[] = [
  [
    'write_duration_seconds',
    'From when a write was taken from a client to when its outcome was known.',
    (view) => view.writeSeconds,
  ],
  ['log_sync_duration_seconds', 'Time to write and sync a batch of the log.', (view) => view.logSyncSeconds],
  ['apply_duration_seconds', 'Time to apply a batch to the state.', (view) => view.applySeconds],
]

/** How many requests were slow in which stage. */
export interface SlowCounts {
  readonly counts: ReadonlyMap<Stage, number>
}

/** The answers to the requests for one operation, by the code of their status, and how long these requests took. */
export interface AnswerCounts {
  readonly operation: string
  readonly seconds: HistogramView
  byCode(): Iterable<readonly [code: string, answers: number]>
}

/** What the API has counted of its requests. `slow` null: no request is called slow. */
export interface Counted {
  readonly slow: SlowCounts | null
  readonly requests: { all(): readonly AnswerCounts[] }
}

/** The text of `/metrics`. Numbers are read when the page is asked for; nothing is counted here while requests run. */
export class MetricsPage {
  readonly contentType: string
  private readonly registry = new Registry()
  private readonly health: Services['health']
  private readonly requests: Counted['requests']
  private readonly eventLoopDelay = new EventLoopDelay()
  /** The view behind the text that is being made; null before the first. */
  private view: MetricsView | null = null

  constructor({ health, cluster, version, logLinesDropped, certificates }: Services, { slow, requests }: Counted) {
    this.health = health
    this.requests = requests
    this.contentType = this.registry.contentType
    collectDefaultMetrics({ register: this.registry })
    // These are gauges under names of counters. The series that they add up are exported anyway.
    for (const name of ['handles', 'requests', 'resources']) {
      this.registry.removeSingleMetric(`nodejs_active_${name}_total`)
    }
    this.addBuild(version)
    for (const [name, help, read] of gauges) this.addGauge(name, help, (gauge) => gauge.set(read(this.shown())))
    for (const [name, help, read] of backupGauges) this.addPartGauge(name, help, ({ backups }) => backups.last, read)
    for (const [name, help, read] of diskGauges) this.addPartGauge(name, help, ({ disk }) => disk, read)
    for (const [name, help, read] of counters) this.addCounter(name, help, () => read(this.shown()))
    this.addCounter('log_lines_dropped_total', 'Lines of the log that could not be written.', logLinesDropped)
    for (const [name, help, read] of peerGauges) this.addPeerGauge(name, help, read)
    this.addCertificates(certificates)
    this.addWarnings(cluster)
    this.addSlowRequests(slow)
    this.addRequests()
  }

  async text(): Promise<string> {
    const view = this.health.metrics()
    this.view = view
    const texts = histograms.map(([name, help, read]) => histogramText(`quorate_${name}`, help, [['', read(view)]]))
    texts.push(this.requestDurations())
    return [await this.registry.metrics(), ...texts, this.eventLoopDelay.text()].join('\n')
  }

  private shown(): MetricsView {
    assert(this.view !== null, 'metrics are collected while a text is made')
    return this.view
  }

  close(): void {
    this.eventLoopDelay.close()
  }

  private addGauge(
    name: string,
    help: string,
    collect: (gauge: Gauge) => void,
    labelNames: readonly string[] = [],
  ): void {
    const configuration: GaugeConfiguration<string> = {
      name: `quorate_${name}`,
      help,
      labelNames: [...labelNames],
      registers: [this.registry],
      collect() {
        collect(this)
      },
    }
    // The registry keeps the gauge.
    void new Gauge(configuration)
  }

  /** A gauge of what may be missing. */
  private addPartGauge<Part>(
    name: string,
    help: string,
    partOf: (view: MetricsView) => Part | null,
    read: (part: Part) => number,
  ): void {
    const collect = (gauge: Gauge): void => {
      // A gauge without labels begins as 0, which would be a moment in 1970, or a full disk.
      gauge.remove()
      const part = partOf(this.shown())
      if (part !== null) gauge.set(read(part))
    }
    this.addGauge(name, help, collect)
  }

  private addCounter(name: string, help: string, current: () => number): void {
    const configuration: CounterConfiguration<string> = {
      name: `quorate_${name}`,
      help,
      registers: [this.registry],
      collect() {
        this.reset()
        this.inc(current())
      },
    }
    void new Counter(configuration)
  }

  private addBuild(version: string): void {
    this.addGauge('build_info', 'What runs here.', (gauge) => gauge.set({ version, node: process.version }, 1), [
      'version',
      'node',
    ])
  }

  private addCertificates(certificates: Services['certificates']): void {
    const each = (read: (expiry: CertificatesView['expiries'][number]) => number) => (gauge: Gauge) => {
      gauge.reset()
      for (const { plane, expiries } of certificates()) {
        for (const expiry of expiries) gauge.set({ plane, role: expiry.role }, read(expiry))
      }
    }
    const labels = ['plane', 'role']
    this.addGauge(
      'tls_certificate_expiry_timestamp_seconds',
      'When the first certificate of this kind ends, in seconds since 1970.',
      each(({ seconds }) => seconds),
      labels,
    )
    this.addGauge(
      'tls_certificate_lifetime_seconds',
      'For how long that certificate was issued.',
      each(({ lifetimeSeconds }) => lifetimeSeconds),
      labels,
    )
    const total = (read: (view: CertificatesView) => number) => () =>
      certificates().reduce((sum, view) => sum + read(view), 0)
    this.addCounter(
      'tls_reloads_total',
      'New files of TLS that were taken up.',
      total((view) => view.reloads),
    )
    this.addCounter(
      'tls_reload_failures_total',
      'New files of TLS that were of no use.',
      total((view) => view.failures),
    )
  }

  private addWarnings(cluster: Pick<Services['cluster'], 'status'>): void {
    const collect = (gauge: Gauge): void => {
      const present = new Set<string>(cluster.status().warnings.map(({ code }) => code))
      for (const code of warningCodes) gauge.set({ code }, Number(present.has(code)))
    }
    this.addGauge('warnings', 'Whether this node warns of this in GET /cluster.', collect, ['code'])
  }

  private addSlowRequests(slow: SlowCounts | null): void {
    const configuration: CounterConfiguration<string> = {
      name: 'quorate_slow_requests_total',
      help: 'Requests that took longer than --slow-request, by the stage that took most of their time.',
      labelNames: ['stage'],
      registers: [this.registry],
      collect() {
        this.reset()
        for (const stage of countedStages) this.inc({ stage }, slow?.counts.get(stage) ?? 0)
      },
    }
    void new Counter(configuration)
  }

  private addRequests(): void {
    const { requests } = this
    const configuration: CounterConfiguration<string> = {
      name: 'quorate_http_requests_total',
      help: 'Requests that were answered, by operation and by the code of the answer.',
      labelNames: ['operation', 'code'],
      registers: [this.registry],
      collect() {
        this.reset()
        for (const counts of requests.all())
          for (const [code, answers] of counts.byCode()) this.inc({ operation: counts.operation, code }, answers)
      },
    }
    void new Counter(configuration)
  }

  /** Operations that nobody has asked for are left out. */
  private requestDurations(): string {
    const asked = this.requests.all().filter(({ seconds }) => seconds.count > 0)
    const help = 'From the turn of a request on its connection to the beginning of its answer.'
    return histogramText(
      'quorate_http_request_duration_seconds',
      help,
      asked.map(({ operation, seconds }) => [`operation="${operation}"`, seconds]),
    )
  }

  private addPeerGauge(name: string, help: string, read: (peer: MetricsView['peers'][number]) => number | null): void {
    const collect = (gauge: Gauge): void => {
      gauge.reset()
      for (const peer of this.shown().peers) {
        const value = read(peer)
        if (value !== null) gauge.set({ peer: peer.id }, value)
      }
    }
    this.addGauge(name, help, collect, ['peer'])
  }
}
