import { assert } from '../lib/assert.ts'
import { crc32 } from '../lib/checksum.ts'
import { deferred, type Deferred } from '../lib/deferred.ts'
import { limits } from '../limits.ts'
import type { SnapshotAnswer, SnapshotHeader, SnapshotSource } from '../ports/transport.ts'
import type { NodeId } from '../raft/index.ts'
import type { Channel } from './channel.ts'
import { ConnectionError } from './connection-error.ts'
import type { SnapshotChunk, SnapshotEnd } from './snapshot-frames.ts'
import type { TransportContext } from './transport-options.ts'
import type { Frame } from './wire.ts'

/** The receiving end of a snapshot. It reads only a little ahead of the node that takes the chunks. */
export class IncomingSnapshot implements SnapshotSource {
  readonly from: NodeId
  readonly header: SnapshotHeader
  private readonly channel: Channel
  private readonly context: TransportContext
  private readonly onEnded: () => void
  private readonly unread: Uint8Array[] = []
  private unreadBytes = 0
  private chunksReceived = 0
  private bytesReceived = 0
  private checksum = 0
  private complete = false
  private answered = false
  private closed: Deferred<void> = deferred()
  private failure: ConnectionError | null = null
  private arrival: Deferred<void> | null = null
  private cancelAlive: (() => void) | null = null

  /** `onEnded` is called once, when the channel is closed. */
  constructor(
    options: { readonly from: NodeId; readonly header: SnapshotHeader },
    dependencies: { readonly channel: Channel; readonly context: TransportContext; readonly onEnded: () => void },
  ) {
    this.from = options.from
    this.header = options.header
    this.channel = dependencies.channel
    this.context = dependencies.context
    this.onEnded = dependencies.onEnded
    this.channel.acceptFrames(limits.frameBytesMax)
    this.channel.listen({
      onFrame: (frame) => this.onFrame(frame),
      onDrained: () => undefined,
      onClosed: (reason) => this.onClosed(reason.detail),
    })
  }

  async *chunks(): AsyncIterable<Uint8Array> {
    for (;;) {
      if (this.failure !== null) throw this.failure
      const chunk = this.takeUnread()
      if (chunk !== null) yield chunk
      else if (this.complete) return
      else await this.waitForArrival()
    }
  }

  async finish(answer: SnapshotAnswer): Promise<void> {
    assert(!this.answered, 'a snapshot is answered once')
    this.answered = true
    this.cancelAlive?.()
    this.channel.send({ type: 'snapshot-answer', answer })
    this.channel.closeGently('the snapshot is answered')
    await this.closed.promise
  }

  private takeUnread(): Uint8Array | null {
    const chunk = this.unread.shift()
    if (chunk === undefined) return null
    this.unreadBytes -= chunk.length
    if (this.unreadBytes < this.context.limits.snapshotUnreadBytesMax) this.channel.resume()
    return chunk
  }

  private async waitForArrival(): Promise<void> {
    assert(this.arrival === null, 'the chunks of a snapshot are read once')
    this.arrival = deferred()
    const { clock, limits } = this.context
    const cancelStall = clock.after(limits.snapshotStallTimeoutMs, () => {
      this.channel.close('closed', `node ${this.from} stopped sending`)
    })
    await this.arrival.promise
    cancelStall()
  }

  private onFrame(frame: Frame): void {
    if (this.complete) return this.damaged(`a ${frame.type} came after the end of the snapshot`)
    if (frame.type === 'snapshot-chunk') return this.onChunk(frame)
    if (frame.type === 'snapshot-end') return this.onEnd(frame)
    this.damaged(`a ${frame.type} came in the middle of a snapshot`)
  }

  private onChunk(chunk: SnapshotChunk): void {
    if (chunk.sequence !== this.chunksReceived) {
      return this.damaged(`chunk ${chunk.sequence} came where chunk ${this.chunksReceived} follows`)
    }
    this.chunksReceived += 1
    this.bytesReceived += chunk.body.length
    this.checksum = crc32(chunk.body, this.checksum)
    this.unread.push(chunk.body)
    this.unreadBytes += chunk.body.length
    if (this.unreadBytes >= this.context.limits.snapshotUnreadBytesMax) this.channel.pause()
    this.wake()
  }

  private onEnd(end: SnapshotEnd): void {
    if (end.chunks !== this.chunksReceived || end.bytes !== this.bytesReceived || end.checksum !== this.checksum) {
      return this.damaged('the totals at the end of the snapshot do not fit its chunks')
    }
    this.complete = true
    this.showLife()
    this.wake()
  }

  /** Tells the sender at intervals that the state is still being installed. */
  private showLife(): void {
    const { clock, limits } = this.context
    this.cancelAlive = clock.after(limits.snapshotStallTimeoutMs / 4, () => {
      this.channel.send({ type: 'snapshot-alive' })
      this.showLife()
    })
  }

  private damaged(detail: string): void {
    this.channel.close('malformed', detail)
  }

  private onClosed(detail: string): void {
    this.cancelAlive?.()
    // The whole state may be here already. Then the node can finish, and only the sender does not learn of it.
    if (!this.complete)
      this.failure = new ConnectionError(`the snapshot from node ${this.from} was interrupted: ${detail}`)
    this.wake()
    this.closed.resolve()
    this.onEnded()
  }

  private wake(): void {
    this.arrival?.resolve()
    this.arrival = null
  }
}
