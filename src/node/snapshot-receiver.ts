import type { MachineState } from '../kv/index.ts'
import type { StateInstall, StateStore } from '../ports/state-store.ts'
import type { SnapshotAnswer, SnapshotSource } from '../ports/transport.ts'
import type { LogId, NodeId, StoredMembership, Vote } from '../raft/index.ts'
import type { Logger } from './options.ts'
import type { StateMeta } from './state-meta.ts'
import { decodeStateMeta } from './state-meta.ts'
import { STATE_STREAM_FORMAT, StateReceiver, StateStreamError } from './state-stream.ts'

export interface ReceivedSnapshot {
  readonly from: NodeId
  readonly vote: Vote
  readonly session: number
  readonly logId: LogId
  readonly membership: StoredMembership
  readonly machine: MachineState
}

export interface SnapshotReceiverDependencies {
  readonly state: StateStore
  readonly logger: Logger
  /** Asks the core whether it wants the snapshot. */
  readonly offer: (source: SnapshotSource) => 'accept' | 'have-it' | 'outvoted'
  readonly onProgress: (from: NodeId, vote: Vote) => void
  /** Stops the applier; nothing is written to the state until `resume`. */
  readonly pause: () => Promise<void>
  /** Whether the snapshot is still ahead of what was applied meanwhile. */
  readonly isAhead: (logId: LogId) => boolean
  /** Goes on, from the received state if one was swapped in. */
  readonly resume: (installed: ReceivedSnapshot | null) => void
  readonly onFault: (error: Error) => void
}

/** Receives a state beside the current one, checks it, and swaps it in (raft.md 8). One at a time. */
export class SnapshotReceiver {
  installed = 0
  private readonly deps: SnapshotReceiverDependencies
  private busy = false
  private stopped = false

  constructor(deps: SnapshotReceiverDependencies) {
    this.deps = deps
  }

  get receiving(): boolean {
    return this.busy
  }

  onSnapshot(source: SnapshotSource): void {
    this.receive(source).catch((error: unknown) => {
      this.deps.onFault(error instanceof Error ? error : new Error(String(error)))
    })
  }

  stop(): void {
    this.stopped = true
  }

  private async receive(source: SnapshotSource): Promise<void> {
    if (this.busy || this.stopped)
      return this.answer(source, { installed: false, detail: 'another snapshot is being received' })
    if (source.header.formatVersion !== STATE_STREAM_FORMAT) {
      return this.answer(source, {
        installed: false,
        detail: `format ${source.header.formatVersion} is not known here`,
      })
    }
    const wanted = this.deps.offer(source)
    if (wanted !== 'accept') {
      return this.answer(source, {
        installed: wanted === 'have-it',
        detail: wanted === 'have-it' ? '' : 'a later leader is known',
      })
    }
    this.busy = true
    try {
      await this.receiveAndInstall(source)
    } finally {
      this.busy = false
    }
  }

  /** The sender may be gone by now; it will find out from the log how far this node is. */
  private async answer(source: SnapshotSource, answer: SnapshotAnswer): Promise<void> {
    try {
      await source.finish(answer)
    } catch (error) {
      this.deps.logger.debug({ from: source.from, error: String(error) }, 'snapshot answer not delivered')
    }
  }

  private async receiveAndInstall(source: SnapshotSource): Promise<void> {
    const install = await this.deps.state.beginInstall()
    let meta: StateMeta
    let bytes: Uint8Array
    try {
      bytes = await this.readInto(install, source)
      meta = this.checkedMeta(bytes, source)
    } catch (error) {
      // The stream broke off or lied: that is the sender's or the network's doing, and it will try again.
      await install.abort()
      this.deps.logger.warn({ from: source.from, error: String(error) }, 'snapshot not received')
      return this.answer(source, { installed: false, detail: String(error) })
    }
    await this.deps.pause()
    if (this.stopped || !this.deps.isAhead(meta.applied)) {
      await install.abort()
      this.deps.resume(null)
      return this.answer(source, { installed: true, detail: 'overtaken by the log' })
    }
    await install.commit(bytes)
    this.installed += 1
    const { vote, session } = source.header
    this.deps.resume({
      from: source.from,
      vote,
      session,
      logId: meta.applied,
      membership: meta.membership,
      machine: meta.machine,
    })
    this.deps.logger.info({ from: source.from, index: meta.applied.index }, 'snapshot installed')
    await this.answer(source, { installed: true, detail: '' })
  }

  private async readInto(install: StateInstall, source: SnapshotSource): Promise<Uint8Array> {
    const receiver = new StateReceiver(install)
    for await (const chunk of source.chunks()) {
      if (this.stopped) throw new StateStreamError('this node is shutting down')
      await receiver.accept(chunk)
      this.deps.onProgress(source.from, source.header.vote)
    }
    return receiver.finish()
  }

  private checkedMeta(bytes: Uint8Array, source: SnapshotSource): StateMeta {
    const meta = decodeStateMeta(bytes)
    if (meta === null) throw new StateStreamError('the meta is of a version that is not known here')
    if (meta.applied.index !== source.header.logId.index) {
      throw new StateStreamError('the meta is of another log id than the header')
    }
    return meta
  }
}
