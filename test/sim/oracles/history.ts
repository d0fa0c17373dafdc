import type { Command, KvMachineOptions } from '../../../src/kv/index.ts'
import { decodeStateMeta } from '../../../src/node/codec/state-meta.ts'
import { leasesFault } from '../../kv/support/lease-model.ts'
import { pastFault } from '../../kv/support/stored-past.ts'
import { changedBy } from '../../../src/checker/transaction-parts.ts'
import type { StateImage } from '../disk/state-disk.ts'
import { hasChanged } from '../../../src/checker/key-model.ts'
import {
  describeOperation,
  describeResult,
  pastRevisionOf,
  type Answer,
  type WriteResult,
} from '../../../src/checker/operation.ts'
import type { Operation } from '../history/operation.ts'
import type { ImportSession } from '../history/import-session.ts'
import type { Views } from '../history/view.ts'
import type { WatchSession } from '../history/watch-session.ts'
import type { Ledger } from '../machines/ledger.ts'
import { describeLogId } from '../network/describe.ts'
import { Violation } from '../world/violation.ts'
import { Compactions } from './compaction.ts'
import { NO_TIMES, type TimesOfLog } from './entry-times.ts'
import { ExecutedLog } from './executed-log.ts'
import { noFigures } from './figures.ts'
import { Idempotency } from './idempotency.ts'
import { Imports } from './imports.ts'
import { Leases, type LeaseOptions } from './leases.ts'
import { Locks, type LockOptions } from './locks.ts'
import { LogFloors } from './log-floors.ts'
import { objectTo } from './objection.ts'
import { OrderCheck } from './order.ts'
import { PastReads } from './past-reads.ts'
import { isAlike } from './plain.ts'
import { readFault } from './read-fault.ts'
import { Rights, type RightsOptions } from './rights.ts'
import { StoreViews, type Shown, type StoreView } from './store-views.ts'
import { authRowFault, recordsFault, stateFault } from './stored-state.ts'
import { VersionViews } from './version-views.ts'
import { Watches } from './watch.ts'

export interface HistoryOptions {
  readonly machine: KvMachineOptions
  /** Clocks stayed within the margin and no refused connection was a lie, so reads under a lease are linearizable. */
  readonly leasesHold: boolean
  readonly stepsMax: number
}

const NO_VIEWS: Views = { operations: [], pages: new Map() }

/**
 * Checks what clients saw of one cluster in two ways.
 *
 * First, a second, plain model executes the committed log. Every answer must be exactly what the model gives at the revision
 * that the answer claims, and the claimed revisions must respect real time. This is strict serializability of all keys and
 * ranges together, with the revision as witness. It also finds acknowledged writes that are missing, failed writes that took
 * effect, and writes that took effect twice.
 *
 * Second, for each key, and for the keys that transactions join together, the search of Wing and Gong examines the answers alone; it relies on
 * no revision and no log.
 */
export class HistoryCheck {
  readonly figures = noFigures()
  private readonly options: HistoryOptions
  private readonly log: ExecutedLog
  private readonly idempotency: Idempotency
  private readonly pastReads: PastReads
  private readonly compactions: Compactions
  private readonly times: TimesOfLog

  constructor(options: HistoryOptions, ledger: Ledger | null, times: TimesOfLog = NO_TIMES) {
    this.options = options
    this.times = times
    this.log = new ExecutedLog(options.machine, ledger)
    this.idempotency = new Idempotency(this.log)
    this.pastReads = new PastReads(this.log.model)
    this.compactions = new Compactions(this.log.model)
  }

  /** `views`: what else clients of the same cluster were shown. */
  check(history: readonly Operation[], views: Views = NO_VIEWS): void {
    this.figures.operations = history.length
    for (const operation of history) this.checkAnswer(operation)
    this.checkViews(views, history)
    this.checkRealTime([...history, ...views.operations])
    this.checkAges(history, views.operations)
    const order = new OrderCheck(this.options, this.log, this.times, this.figures)
    order.check(history, (operation) => this.isLinearizable(operation))
    this.figures.doublesCompared = this.idempotency.doublesCompared
    this.figures.repeatsCompared = this.idempotency.repeatsCompared
    this.figures.pastReads = this.pastReads.checked
    this.figures.compactedReads = this.compactions.checked
  }

  /** What nodes of the cluster said of imports. */
  checkImports(sessions: readonly ImportSession[], clusterId: string): void {
    const imports = new Imports(this.log)
    imports.check(sessions, clusterId)
    this.figures.importsDone = imports.done
    this.figures.importsEnded = imports.ended
    this.figures.importedChanges = imports.changes
    this.figures.halvedChanges = imports.halved
  }

  /** What watchers were told, beside the `history` of the same cluster. */
  checkWatches(sessions: readonly WatchSession[], history: readonly Operation[]): void {
    const watches = new Watches(this.log.model)
    const ended = history.filter((operation) => this.isLinearizable(operation))
    for (const session of sessions) {
      const before = session.since === null ? ended.filter((one) => one.returnedAt < session.invokedAt) : []
      watches.check(session, Math.max(-1, ...before.map(positionOf)))
    }
    this.figures.watches = sessions.filter(({ began }) => began !== null).length
    this.figures.watchedChanges = watches.changes
    this.figures.watchedProgress = watches.progress
    this.figures.watchesCompacted = watches.compacted
  }

  checkLeases(history: readonly Operation[], options: LeaseOptions & LockOptions): void {
    const leases = new Leases(options, this.log, this.times)
    leases.check(history)
    const locks = new Locks(options, this.log, this.times)
    locks.check(history)
    this.figures.leasesExpired = leases.expired
    this.figures.leasesMeasured = leases.measured
    this.figures.leasesGone = leases.goneChecked
    this.figures.leasedPuts = leases.attached
    this.figures.locksAcquired = locks.acquired
    this.figures.locksHandedOver = locks.handedOver
    this.figures.locksInVain = locks.waitedInVain
    this.figures.locksLeft = locks.left
    this.figures.fencedWrites = locks.fencedWrites
  }

  /** What clients and watchers of the cluster may do, and were given. */
  checkRights(
    history: readonly Operation[],
    sessions: readonly WatchSession[],
    { clusterId, calm }: { readonly clusterId: string; readonly calm: RightsOptions['calm'] },
  ): void {
    const rights = new Rights({ leasesHold: this.options.leasesHold, calm }, this.log, this.times)
    rights.check(history, sessions, clusterId)
    this.figures.tokenAnswers = rights.allowed
    this.figures.denials = rights.denied
    this.figures.lateRequests = rights.late
    this.figures.authChanges = rights.changes
    this.figures.watchesDenied = rights.watchesEnded
  }

  /** The state of `machine` must be that of the model at the index up to which the machine has applied. */
  checkState(machine: string, image: StateImage): void {
    const meta = image.meta === null ? null : decodeStateMeta(image.meta)
    if (meta === null) return
    const { applied } = meta
    this.figures.statesCompared += 1
    const where = `${machine} has applied ${describeLogId(applied)} and`
    const fault =
      stateFault(meta.machine, this.log.model, applied.index) ??
      recordsFault(image, this.log.model, applied.index) ??
      leasesFault(image, this.log.model.stateAt(applied.index).leases) ??
      authRowFault(image, this.log.model, applied.index) ??
      pastFault(image, this.log.model, applied.index)
    if (fault !== null) throw new Violation('state', `${where} ${fault}`)
  }

  private checkViews({ operations, pages }: Views, history: readonly Operation[]): void {
    const versions = new VersionViews(this.log.model)
    const shown: Shown[] = []
    for (const operation of operations) {
      const { outcome, request } = operation
      const view = pages.get(request)
      if (outcome.kind !== 'answered' || view === undefined) continue
      const { revision } = outcome.answer
      if (revision > this.log.model.revision)
        objectTo(operation, 'read', `reflects revision ${revision}, which no committed entry made`)
      if (request.type === 'get' && request.minRevision !== null && revision < request.minRevision)
        objectTo(operation, 'read', 'is older than asked for')
      if (view.type === 'versions') versions.check(operation, view, revision)
      else shown.push(this.shownBy(operation, view, revision))
    }
    const looks = new StoreViews(this.log, this.times, new LogFloors(this.log, this.times, history))
    looks.check(shown)
    this.figures.versionViews = versions.checked
    this.countLooks(looks, shown)
  }

  private shownBy(operation: Operation, view: StoreView, revision: number): Shown {
    const bound = operation.heard?.[0]?.freshAt ?? null
    return { operation, view, revision, freshAt: this.isLinearizable(operation) ? operation.invokedAt : bound }
  }

  private countLooks(looks: StoreViews, shown: readonly Shown[]): void {
    this.figures.leaseViews = shown.filter(({ view }) => view.type === 'leases').length
    this.figures.leaseLooks = looks.leases
    this.figures.lockLooks = looks.locks
    this.figures.compactionLooks = looks.compactions
    this.figures.concealedLooks = looks.concealed
    this.figures.looksAtLearners = shown.filter(({ operation }) => operation.atLearner === true).length
    this.figures.looksDuringChanges = shown.filter(({ operation }) => operation.duringChange === true).length
  }

  private checkAnswer(operation: Operation): void {
    this.idempotency.check(operation)
    const { outcome, request } = operation
    if (outcome.kind !== 'answered') return
    const { answer } = outcome
    const past = pastRevisionOf(request)
    if (past !== null && answer.type === 'compacted') return this.compactions.check(operation, past, answer.revision)
    if (past !== null) return this.pastReads.check(operation, past, answer)
    if (answer.type === 'compacted') return objectTo(operation, 'compaction', 'is refused, though it reads the present')
    if (answer.type !== 'write') return this.checkRead(operation, answer)
    if (request.type !== 'write') return
    this.figures.acknowledgedWrites += 1
    for (const one of operation.heard ?? [{ answer }])
      if (one.answer.type === 'write') this.checkWrite(operation, request.command, one.answer.result)
  }

  private checkWrite(operation: Operation, command: Command, result: WriteResult): void {
    if (result.type === 'transaction') this.figures.transactions += 1
    if (result.type === 'compacted' || result.type === 'retention-set') this.figures.upkeep += 1
    // What a wait has come to is checked with the locks.
    if (command.type === 'lock-acquire') return
    const results = this.log.resultsOf(command)
    if (results.some((expected) => isAlike(expected, result))) return
    const indexes = this.log.indexesOf(command).join(', ')
    const what = `is acknowledged, but the log holds it at [${indexes}] with ${results.map(describeResult).join(' or ')}`
    objectTo(operation, 'acknowledged-write', what)
  }

  private checkRead(operation: Operation, answer: Extract<Answer, { type: 'get' | 'scan' }>): void {
    const { request } = operation
    const { revision } = answer
    if (revision > this.log.model.revision)
      objectTo(operation, 'read', `reflects revision ${revision}, which no committed entry made`)
    if (request.type === 'get' && request.minRevision !== null && revision < request.minRevision)
      objectTo(operation, 'read', 'is older than asked for')
    const fault = readFault(this.log.model, request, answer)
    if (fault !== null) objectTo(operation, 'read', fault)
  }

  /** An operation that started after another had ended reflects at least what the other reflected. */
  private checkRealTime(history: readonly Operation[]): void {
    const begun = history
      .filter((operation) => this.isLinearizable(operation))
      .sort((a, b) => a.invokedAt - b.invokedAt)
    const ended = [...begun].sort((a, b) => a.returnedAt - b.returnedAt)
    let at = 0
    let latest: Operation | null = null
    for (const operation of begun) {
      for (let next = ended[at]; next !== undefined && next.returnedAt < operation.invokedAt; next = ended[++at]) {
        if (latest === null || positionOf(next) > positionOf(latest)) latest = next
      }
      if (latest === null || positionOf(operation) >= positionOf(latest)) continue
      objectTo(operation, 'real-time', `reflects less than what had ended before: ${describeOperation(latest)}`)
    }
  }

  /** A stale read with a bound on its age reflects everything that ended before that bound. */
  private checkAges(history: readonly Operation[], views: readonly Operation[]): void {
    const all = [...history, ...views]
    const ended = all.filter((operation) => this.isLinearizable(operation)).sort((a, b) => a.returnedAt - b.returnedAt)
    for (const operation of all) {
      const freshAt = operation.heard?.[0]?.freshAt ?? null
      const { outcome } = operation
      if (freshAt === null || outcome.kind !== 'answered') continue
      this.figures.boundedReads += 1
      const { revision } = outcome.answer
      const newer = ended.find(({ returnedAt, outcome: one }) => {
        if (returnedAt >= freshAt || one.kind !== 'answered') return false
        return positionOf({ outcome: one }) > revision
      })
      if (newer === undefined) continue
      objectTo(
        operation,
        'staleness',
        `is older than what had ended longer ago than the bound: ${describeOperation(newer)}`,
      )
    }
  }

  private isLinearizable({ outcome, request }: Operation): boolean {
    if (outcome.kind !== 'answered') return false
    const { answer } = outcome
    // The answers of a retry, and of a write that changed nothing, do not tell their position in the order.
    if (answer.type === 'write')
      return request.type === 'write' && request.command.idempotency === null && hasChanged(answer.result)
    if (answer.type === 'compacted' || pastRevisionOf(request) !== null) return false
    return answer.given === 'linearizable' || (answer.given === 'lease' && this.options.leasesHold)
  }
}

function positionOf({ outcome }: Pick<Operation, 'outcome'>): number {
  if (outcome.kind !== 'answered') return -1
  const { answer } = outcome
  if (answer.type !== 'write') return answer.revision
  const { result } = answer
  if (result.type === 'transaction') return changedBy(result.results) ? result.revision : -1
  return result.type === 'put' || result.type === 'deleted' || result.type === 'range-deleted' ? result.revision : -1
}
