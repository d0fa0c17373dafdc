import type {
  PeerMessage,
  ProbeOutcome,
  SnapshotHeader,
  SnapshotSink,
  Transport,
  TransportHandlers,
} from '../../../src/ports/transport.ts'
import type { NodeId } from '../../../src/raft/index.ts'

/** Replaces each message that is sent by none, one or several. */
export type Intercept = (message: PeerMessage) => readonly PeerMessage[]
/** Asked before each chunk, counted from 0: whether the stream breaks off here. */
export type BreaksOff = (header: SnapshotHeader, to: NodeId, chunk: number) => boolean

export interface Interference {
  intercept: Intercept
  breaksOff: BreaksOff
}

export function noInterference(): Interference {
  return { intercept: (message) => [message], breaksOff: () => false }
}

/** A transport whose messages a test can lose, repeat and hold back. */
export class Wire implements Transport {
  private readonly inner: Transport
  private readonly interference: Interference

  constructor(inner: Transport, interference: Interference) {
    this.inner = inner
    this.interference = interference
  }

  start(handlers: TransportHandlers): Promise<void> {
    return this.inner.start(handlers)
  }

  setPeers(peers: ReadonlyMap<NodeId, string>): void {
    this.inner.setPeers(peers)
  }

  send(message: PeerMessage): void {
    for (const one of this.interference.intercept(message)) this.inner.send(one)
  }

  /** Past all interference. */
  sendAsIs(message: PeerMessage): void {
    this.inner.send(message)
  }

  isConnected(peer: NodeId): boolean {
    return this.inner.isConnected(peer)
  }

  probe(raftAddress: string, timeoutMs: number): Promise<ProbeOutcome> {
    return this.inner.probe(raftAddress, timeoutMs)
  }

  async openSnapshot(to: NodeId, header: SnapshotHeader): Promise<SnapshotSink> {
    const sink = await this.inner.openSnapshot(to, header)
    let chunks = 0
    return {
      write: async (chunk) => {
        if (this.interference.breaksOff(header, to, chunks++)) {
          sink.abort()
          throw new Error('the stream broke off')
        }
        await sink.write(chunk)
      },
      finish: () => sink.finish(),
      abort: () => sink.abort(),
    }
  }

  roundTripMs(peer: NodeId): number | null {
    return this.inner.roundTripMs(peer)
  }

  stop(): Promise<void> {
    return this.inner.stop()
  }
}
