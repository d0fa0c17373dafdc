import type { BackupsView } from '../../api/health.ts'
import type { Guard, SnapshotStream } from '../../api/services.ts'
import { RequestError } from '../../lib/errors.ts'
import { toError } from '../../lib/to-error.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { StateStore, StateView } from '../../ports/state-store.ts'
import { backupPieces } from '../backup/backup-stream.ts'
import type { BackupHeader } from '../backup/format.ts'
import { metaOf, type StateMeta } from '../codec/state-meta.ts'
import { logIdView, membershipView } from '../membership/api-views.ts'
import type { BackupRegister, Logger, NodeOptions, TakenBackup } from '../options.ts'
import type { Replica } from '../replica.ts'
import { checkRights } from './past.ts'
import type { Serving } from './serving.ts'

export type BackupsOptions = Pick<NodeOptions, 'id' | 'incarnation' | 'version' | 'snapshotChunkBytes'>

export interface BackupsDependencies {
  readonly replica: Replica
  readonly state: StateStore
  readonly clock: Clock
  readonly serving: Serving
  readonly hash: (text: string) => string
  /** Null: what was taken is forgotten with the process. */
  readonly register: BackupRegister | null
  readonly logger: Logger
}

/** A backup that is being read. */
interface Running {
  readonly view: StateView
  readonly meta: Uint8Array
  readonly header: BackupHeader
  readonly startedAt: number
  /** Null: the node itself takes it. */
  readonly guard: Guard | null
}

const ID_DIGITS = 32

/** Backups of the state of this node, each one consistent view. One piece of each is in memory at a time. */
export class Backups {
  private readonly options: BackupsOptions
  private readonly deps: BackupsDependencies
  private begun = 0
  private running = 0
  private completed = 0
  private failed = 0
  private last: TakenBackup | null

  /** `last`: what was remembered of the time before this process. */
  constructor(options: BackupsOptions, deps: BackupsDependencies, last: TakenBackup | null) {
    this.options = options
    this.deps = deps
    this.last = last
  }

  view(): BackupsView {
    const { running, completed, failed, last: taken } = this
    const last = taken === null ? null : { ...taken, takenAt: taken.takenAtMs / 1000 }
    return { running, completed, failed, last }
  }

  /** `stale`: whatever this node has applied, even when it knows no leader. `guard` is asked before each piece. */
  async open(consistency: 'linearizable' | 'stale', timeoutMs: number, guard: Guard | null): Promise<SnapshotStream> {
    const { replica, state, clock, serving } = this.deps
    serving.check()
    if (consistency === 'linearizable') await replica.reads.barrier(timeoutMs)
    await replica.applier.settle()
    const startedAt = clock.now()
    const view = await state.view()
    const meta = await metaOf(view)
    if (view.meta === null || meta === null) {
      await view.close()
      throw new RequestError('not-ready', 'this node has applied nothing yet')
    }
    try {
      checkRights(replica.applier.auth, meta.machine)
      guard?.check()
    } catch (error) {
      await view.close()
      throw error
    }
    const header = this.headerOf(meta)
    const { logId, revision } = header
    const chunks = this.pieces({ view, meta: view.meta, header, startedAt, guard })
    return { logId, revision, bytesEstimate: state.sizeBytes(), chunks }
  }

  private headerOf({ applied, membership, machine }: StateMeta): BackupHeader {
    const { id, incarnation, version } = this.options
    const { replica, clock, hash } = this.deps
    this.begun += 1
    const wallMs = clock.wall()
    const unique = `backup:${incarnation}:${wallMs}:${clock.now()}:${this.begun}`
    return {
      id: hash(unique).slice(0, ID_DIGITS),
      clusterId: replica.ownCluster.id ?? '',
      logId: logIdView(applied) ?? { term: 0, node: 0, index: 0 },
      revision: machine.revision,
      featureLevel: machine.level,
      membership: membershipView(membership.membership),
      createdAtMs: Math.max(0, Math.floor(wallMs)),
      node: id,
      version,
    }
  }

  private async *pieces({ view, meta, header, startedAt, guard }: Running): AsyncGenerator<Uint8Array> {
    const { clock } = this.deps
    let bytes = 0
    let isWhole = false
    this.running += 1
    try {
      let readSince = clock.now()
      let applied = this.deps.replica.applier.appliedIndex
      for await (const piece of backupPieces(header, view, meta, this.options.snapshotChunkBytes)) {
        const readMs = clock.now() - readSince
        guard?.check()
        yield piece
        bytes += piece.length
        const { appliedIndex } = this.deps.replica.applier
        if (appliedIndex !== applied) await this.rest(readMs)
        applied = appliedIndex
        readSince = clock.now()
      }
      isWhole = true
    } finally {
      this.running -= 1
      await view.close()
      if (isWhole) this.onCompleted(header.createdAtMs, startedAt, bytes)
      else this.failed += 1
    }
  }

  /** Leaves the thread to those who write meanwhile. */
  private async rest(readMs: number): Promise<void> {
    const restMs = Math.min(readMs * limits.backupRestFactor, limits.backupRestMsMax)
    await new Promise<void>((resolve) => this.deps.clock.after(restMs, resolve))
  }

  private onCompleted(takenAtMs: number, startedAt: number, bytes: number): void {
    const { clock, register, logger } = this.deps
    this.completed += 1
    // One that was begun earlier may end later.
    if (this.last !== null && this.last.takenAtMs > takenAtMs) return
    this.last = { takenAtMs, seconds: (clock.now() - startedAt) / 1000, bytes }
    register?.store(this.last).catch((error: unknown) => {
      logger.warn({ error: toError(error).message }, 'the last backup will be forgotten with this process')
    })
  }
}
