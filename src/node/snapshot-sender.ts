import type { Clock } from '../ports/clock.ts'
import type { StateStore } from '../ports/state-store.ts'
import type { Transport } from '../ports/transport.ts'
import type { NodeId, SnapshotPlan, Vote } from '../raft/index.ts'
import type { Logger } from './options.ts'
import { decodeStateMeta } from './state-meta.ts'
import { STATE_STREAM_FORMAT, stateChunks } from './state-stream.ts'

export interface SnapshotSenderOptions {
  readonly chunkBytes: number
  /** For each receiver. */
  readonly bytesPerSecondMax: number
  readonly atOnceMax: number
}

export interface SnapshotSenderDependencies {
  readonly state: StateStore
  readonly transport: Transport
  readonly clock: Clock
  readonly logger: Logger
  readonly leadsUnder: (vote: Vote) => boolean
  readonly onFinished: (to: NodeId, session: number, outcome: 'installed' | 'failed') => void
}

export interface SnapshotProgress {
  readonly bytesSent: number
  readonly bytesEstimate: number
}

interface Sending {
  readonly session: number
  bytesSent: number
  bytesEstimate: number
}

/** Streams the state to followers that are too far behind for the log (raft.md 8). */
export class SnapshotSender {
  sent = 0
  private readonly options: SnapshotSenderOptions
  private readonly deps: SnapshotSenderDependencies
  private readonly sending = new Map<NodeId, Sending>()
  private stopped = false

  constructor(options: SnapshotSenderOptions, deps: SnapshotSenderDependencies) {
    this.options = options
    this.deps = deps
  }

  progressOf(to: NodeId): SnapshotProgress | null {
    return this.sending.get(to) ?? null
  }

  start(plan: SnapshotPlan): void {
    const { to, session } = plan
    if (this.sending.has(to) || this.sending.size >= this.options.atOnceMax || this.stopped) {
      // Reported in a turn of its own: the core is in the middle of a step now.
      this.deps.clock.nextTurn(() => this.deps.onFinished(to, session, 'failed'))
      return
    }
    const sending: Sending = { session, bytesSent: 0, bytesEstimate: this.deps.state.sizeBytes() }
    this.sending.set(to, sending)
    this.stream(plan, sending).then(
      () => this.finished(plan, 'installed'),
      (error: unknown) => {
        this.deps.logger.warn({ to, error: String(error) }, 'snapshot not delivered')
        this.finished(plan, 'failed')
      },
    )
  }

  stop(): void {
    this.stopped = true
  }

  private finished(plan: SnapshotPlan, outcome: 'installed' | 'failed'): void {
    this.sending.delete(plan.to)
    if (outcome === 'installed') this.sent += 1
    if (!this.stopped) this.deps.onFinished(plan.to, plan.session, outcome)
  }

  private async stream(plan: SnapshotPlan, sending: Sending): Promise<void> {
    const view = await this.deps.state.view()
    try {
      const meta = view.meta === null ? null : decodeStateMeta(view.meta)
      if (view.meta === null || meta === null) throw new Error('the state is empty')
      const sink = await this.deps.transport.openSnapshot(plan.to, {
        vote: plan.vote,
        session: plan.session,
        logId: meta.applied,
        membership: meta.membership,
        formatVersion: STATE_STREAM_FORMAT,
        bytesEstimate: sending.bytesEstimate,
      })
      try {
        for await (const chunk of stateChunks(view, view.meta, this.options.chunkBytes)) {
          if (this.stopped || !this.deps.leadsUnder(plan.vote)) throw new Error('this node does not lead any more')
          await sink.write(chunk)
          sending.bytesSent += chunk.length
          await this.pace(chunk.length)
        }
      } catch (error) {
        sink.abort()
        throw error
      }
      const answer = await sink.finish()
      if (!answer.installed) throw new Error(answer.detail)
      this.deps.logger.info({ to: plan.to, index: meta.applied.index, bytes: sending.bytesSent }, 'snapshot delivered')
    } finally {
      await view.close()
    }
  }

  private async pace(bytes: number): Promise<void> {
    const pauseMs = (bytes * 1000) / this.options.bytesPerSecondMax
    await new Promise<void>((resolve) => this.deps.clock.after(pauseMs, resolve))
  }
}
