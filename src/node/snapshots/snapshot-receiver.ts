import { NewerStateError, type AuthTable, type MachineState } from '../../kv/index.ts'
import type { StateInstall, StateStore } from '../../ports/state-store.ts'
import type { SnapshotAnswer, SnapshotSource } from '../../ports/transport.ts'
import type { LogId, LogIndex, NodeId, StoredMembership, Vote } from '../../raft/index.ts'
import { compareVotes, sameLogId } from '../../raft/index.ts'
import type { DiskUsage, Faults, Logger } from '../options.ts'
import { ReceivingRoom } from './receiving-room.ts'
import type { StateMeta } from '../codec/state-meta.ts'
import { metaOfReceived } from './received-meta.ts'
import { STATE_STREAM_FORMAT, StateReceiver, StateStreamError } from './state-stream.ts'

export interface ReceivedSnapshot {
  readonly from: NodeId
  readonly vote: Vote
  readonly session: number
  readonly logId: LogId
  readonly membership: StoredMembership
  readonly machine: MachineState
  readonly auth: AuthTable | null
}

/** Decides whether a state is taken. */
export interface SnapshotGate {
  /** Why nothing may be taken from this sender, or not this state; null when nothing speaks against it. */
  refuse(source: SnapshotSource): string | null
  /** Asks the core whether it wants the snapshot. */
  offer(source: SnapshotSource): 'accept' | 'have-it' | 'outvoted'
  /** Told of a state that nothing speaks against, except that this build is too old for it. */
  onNewerState(from: NodeId, detail: string): void
}

export interface SnapshotReceiverDependencies {
  readonly state: StateStore
  readonly logger: Logger
  readonly gate: SnapshotGate
  readonly core: { onSnapshotProgress(from: NodeId, vote: Vote): void }
  /** While it is paused, nothing is written to the state. */
  readonly applier: { readonly appliedIndex: LogIndex; pause(): Promise<void>; resume(): void }
  /** Nobody reads rows while the received state is swapped in by calling `commit`, nor before the applier goes on. */
  readonly rows: { replace(commit: () => Promise<void>): Promise<void> }
  /** Told of a state that was swapped in; lets the applier go on from there. */
  readonly consequences: { onInstalled(snapshot: ReceivedSnapshot): void }
  /** Free space on the disk of the state; left out when it does not matter. */
  readonly diskUsage?: (() => Promise<DiskUsage>) | undefined
  readonly idempotentWritesMax: number
  readonly faults: Faults
}

interface Receiving {
  readonly source: SnapshotSource
  /** True until all of the state has arrived. */
  isReading: boolean
  /** The source was answered already; only its end is awaited. */
  isGivenUp: boolean
}

/** Receives a state beside the current one, checks it, and swaps it in (raft.md 8). One at a time. */
export class SnapshotReceiver {
  installed = 0
  private readonly deps: SnapshotReceiverDependencies
  private current: Receiving | null = null
  private stopped = false

  constructor(deps: SnapshotReceiverDependencies) {
    this.deps = deps
  }

  onSnapshot(source: SnapshotSource): void {
    this.receive(source).catch((error: unknown) => this.deps.faults.report(error))
  }

  stop(): void {
    this.stopped = true
  }

  private async receive(source: SnapshotSource): Promise<void> {
    const refusal = this.deps.gate.refuse(source)
    if (refusal !== null) return this.refused(source, refusal)
    if (this.current !== null || this.stopped) {
      this.giveWayTo(source)
      return this.answer(source, { installed: false, detail: 'another snapshot is being received' })
    }
    const { formatVersion } = source.header
    if (formatVersion !== STATE_STREAM_FORMAT) {
      const detail = `format ${formatVersion} is not known to this version`
      if (formatVersion > STATE_STREAM_FORMAT) this.deps.gate.onNewerState(source.from, detail)
      return this.answer(source, { installed: false, detail })
    }
    const wanted = this.deps.gate.offer(source)
    if (wanted !== 'accept') {
      return this.answer(source, {
        installed: wanted === 'have-it',
        detail: wanted === 'have-it' ? '' : 'a later leader is known',
      })
    }
    this.current = { source, isReading: true, isGivenUp: false }
    try {
      await this.receiveAndInstall(this.current)
    } finally {
      this.current = null
    }
  }

  private async refused(source: SnapshotSource, detail: string): Promise<void> {
    this.deps.logger.warn({ from: source.from, detail }, 'snapshot refused')
    return this.answer(source, { installed: false, detail })
  }

  /** An earlier leader may be cut off in the middle of its stream. Its silence must not keep a later leader out, which will try again. */
  private giveWayTo(later: SnapshotSource): void {
    const { current } = this
    if (current === null || !current.isReading || current.isGivenUp) return
    if (compareVotes(later.header.vote, current.source.header.vote) <= 0) return
    current.isGivenUp = true
    void this.answer(current.source, { installed: false, detail: 'a later leader sends its own' })
  }

  /** The sender may be gone by now; it will find out from the log how far this node is. */
  private async answer(source: SnapshotSource, answer: SnapshotAnswer): Promise<void> {
    try {
      await source.finish(answer)
    } catch (error) {
      this.deps.logger.debug({ from: source.from, error: String(error) }, 'snapshot answer not delivered')
    }
  }

  private async receiveAndInstall(receiving: Receiving): Promise<void> {
    const { source } = receiving
    const room = new ReceivingRoom(source.header.bytesEstimate, this.deps.diskUsage)
    const shortage = await room.shortage()
    if (shortage !== null) return this.refused(source, shortage)
    const install = await this.deps.state.beginInstall()
    let meta: StateMeta
    let bytes: Uint8Array
    let auth: AuthTable | null
    try {
      const receiver = await this.readInto(install, source, room)
      bytes = receiver.finish()
      meta = this.checkedMeta(receiver, source)
      auth = receiver.received.authTable
    } catch (error) {
      // The stream broke off or was damaged. That is the sender's or the network's fault, and the sender will try again.
      await install.abort()
      if (error instanceof NewerStateError) this.deps.gate.onNewerState(source.from, error.message)
      this.deps.logger.warn({ from: source.from, error: String(error) }, 'snapshot not received')
      if (receiving.isGivenUp) return
      return this.answer(source, { installed: false, detail: String(error) })
    }
    receiving.isReading = false
    await this.deps.applier.pause()
    // The log may have shown, while the state was on its way, that more is committed.
    const contradiction = this.deps.gate.refuse(source)
    if (contradiction !== null) {
      await install.abort()
      this.deps.applier.resume()
      return this.refused(source, contradiction)
    }
    if (this.stopped || meta.applied.index <= this.deps.applier.appliedIndex) {
      await install.abort()
      this.deps.applier.resume()
      return this.answer(source, { installed: true, detail: 'overtaken by the log' })
    }
    await this.deps.rows.replace(() => install.commit(bytes))
    this.installed += 1
    const { vote, session } = source.header
    this.deps.consequences.onInstalled({
      from: source.from,
      vote,
      session,
      logId: meta.applied,
      membership: meta.membership,
      machine: meta.machine,
      auth,
    })
    this.deps.logger.info({ from: source.from, index: meta.applied.index }, 'snapshot installed')
    await this.answer(source, { installed: true, detail: '' })
  }

  private async readInto(install: StateInstall, source: SnapshotSource, room: ReceivingRoom): Promise<StateReceiver> {
    const receiver = new StateReceiver(install)
    for await (const chunk of source.chunks()) {
      if (this.stopped) throw new StateStreamError('this node is shutting down')
      await room.take(chunk.length)
      await receiver.accept(chunk)
      this.deps.core.onSnapshotProgress(source.from, source.header.vote)
    }
    return receiver
  }

  private checkedMeta(receiver: StateReceiver, source: SnapshotSource): StateMeta {
    const meta = metaOfReceived(receiver, this.deps.idempotentWritesMax)
    if (sameLogId(meta.applied, source.header.logId)) return meta
    throw new StateStreamError('the meta and the header name different log ids')
  }
}
