import type {
  PeerMessage,
  ProbeOutcome,
  SnapshotHeader,
  SnapshotSink,
  Transport,
  TransportHandlers,
} from '../../../src/ports/transport.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import type { Life } from './life.ts'

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
  private readonly life: Life

  constructor(inner: Transport, dependencies: { readonly interference: Interference; readonly life: Life }) {
    this.inner = inner
    this.interference = dependencies.interference
    this.life = dependencies.life
  }

  start(handlers: TransportHandlers): Promise<void> {
    return this.inner.start(heldWhilePaused(handlers, this.life))
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

/** `handlers` of a process that reads no message while it is stopped. */
function heldWhilePaused(handlers: TransportHandlers, life: Life): TransportHandlers {
  return {
    onMessage(message) {
      let complaint: string | null = null
      life.deliver(() => {
        complaint = handlers.onMessage(message)
      })
      return complaint
    },
    isMember: (peer) => handlers.isMember(peer),
    onConnected: (peer) => handlers.onConnected(peer),
    onDisconnected: (peer) => handlers.onDisconnected(peer),
    onUnreachable: (peer) => handlers.onUnreachable(peer),
    onRefused: (peer, refusal, by) => handlers.onRefused(peer, refusal, by),
    onUnanswered: (peer) => handlers.onUnanswered(peer),
    admit: (hello) => handlers.admit(hello),
    admitReport: (peer, report) => handlers.admitReport(peer, report),
    hello: (purpose, to) => handlers.hello(purpose, to),
    report: () => handlers.report(),
    onSnapshot: (source) => handlers.onSnapshot(source),
  }
}
