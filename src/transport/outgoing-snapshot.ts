import { assert } from '../lib/assert.ts'
import { crc32 } from '../lib/checksum.ts'
import { deferred, type Deferred } from '../lib/deferred.ts'
import type { SnapshotAnswer, SnapshotHeader, SnapshotSink } from '../ports/transport.ts'
import type { NodeId } from '../raft/index.ts'
import type { Channel } from './channel.ts'
import { ConnectionError } from './connection-error.ts'
import type { TransportContext } from './transport-options.ts'
import type { Frame } from './wire.ts'

/** The sending end of a snapshot. One chunk at a time is handed to the network, so memory stays at one chunk. */
export class OutgoingSnapshot implements SnapshotSink {
  private readonly to: NodeId
  private readonly channel: Channel
  private readonly context: TransportContext
  private readonly onEnded: () => void
  private chunks = 0
  private bytes = 0
  private checksum = 0
  private ended = false
  private failure: ConnectionError | null = null
  private answer: SnapshotAnswer | null = null
  private waiting: Deferred<void> | null = null
  private finishing: Deferred<SnapshotAnswer> | null = null
  private cancelStall: (() => void) | null = null
  private cancelInstall: (() => void) | null = null

  /** `channel`: its handshake for a snapshot has just succeeded. `onEnded` is called once, when the channel is closed. */
  constructor(
    options: { readonly to: NodeId; readonly header: SnapshotHeader },
    dependencies: { readonly channel: Channel; readonly context: TransportContext; readonly onEnded: () => void },
  ) {
    this.to = options.to
    this.channel = dependencies.channel
    this.context = dependencies.context
    this.onEnded = dependencies.onEnded
    this.channel.listen({
      onFrame: (frame) => this.onFrame(frame),
      onDrained: () => this.onDrained(),
      onClosed: (reason) => {
        this.fail(`the connection to node ${this.to} broke: ${reason.detail}`)
        this.onEnded()
      },
    })
    this.channel.send({ type: 'snapshot-header', header: options.header })
  }

  /** Resolves when the network has taken the chunk. Until then its bytes must not change. */
  write(chunk: Uint8Array): Promise<void> {
    assert(this.waiting === null && !this.ended, 'the chunks of a snapshot are written one after the other')
    if (this.failure !== null) return Promise.reject(this.failure)
    this.channel.send({ type: 'snapshot-chunk', sequence: this.chunks, body: chunk })
    this.chunks += 1
    this.bytes += chunk.length
    this.checksum = crc32(chunk, this.checksum)
    this.channel.flush()
    if (this.channel.queuedBytes === 0) return Promise.resolve()
    this.waiting = deferred()
    this.watchStall(`node ${this.to} does not take the snapshot`)
    return this.waiting.promise
  }

  finish(): Promise<SnapshotAnswer> {
    assert(this.waiting === null && !this.ended, 'a snapshot ends once, after its last chunk')
    this.ended = true
    if (this.answer !== null) return Promise.resolve(this.answer)
    if (this.failure !== null) return Promise.reject(this.failure)
    this.channel.send({ type: 'snapshot-end', chunks: this.chunks, bytes: this.bytes, checksum: this.checksum })
    this.finishing = deferred()
    const { clock, limits } = this.context
    this.cancelInstall = clock.after(limits.snapshotInstallTimeoutMs, () => {
      this.give(`node ${this.to} did not install the snapshot within ${limits.snapshotInstallTimeoutMs} ms`)
    })
    this.watchStall(`node ${this.to} does not answer`)
    return this.finishing.promise
  }

  abort(): void {
    this.give('the sender gave the snapshot up')
  }

  private onFrame(frame: Frame): void {
    if (frame.type === 'snapshot-alive') {
      if (this.finishing !== null) this.watchStall(`node ${this.to} does not answer`)
      return
    }
    if (frame.type !== 'snapshot-answer') {
      return this.channel.close('malformed', `a ${frame.type} came where only the answer to a snapshot may`)
    }
    this.answer = frame.answer
    this.finishing?.resolve(frame.answer)
    this.finishing = null
    this.fail(`node ${this.to} ended the snapshot: ${frame.answer.detail}`)
    this.channel.close('closed', 'the snapshot is answered')
  }

  private onDrained(): void {
    if (this.waiting === null) return
    this.cancelStall?.()
    this.waiting.resolve()
    this.waiting = null
  }

  private watchStall(detail: string): void {
    const { clock, limits } = this.context
    this.cancelStall?.()
    this.cancelStall = clock.after(limits.snapshotStallTimeoutMs, () => this.give(detail))
  }

  private give(detail: string): void {
    this.fail(detail)
    this.channel.close('closed', detail)
  }

  private fail(detail: string): void {
    this.cancelStall?.()
    this.cancelInstall?.()
    this.failure ??= new ConnectionError(detail)
    this.waiting?.reject(this.failure)
    this.waiting = null
    this.finishing?.reject(this.failure)
    this.finishing = null
  }
}
