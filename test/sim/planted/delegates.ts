import type { LogContents, LogStore, LogWrite } from '../../../src/ports/log-store.ts'
import type {
  CompactionOutcome,
  StateInstall,
  StateRange,
  StateRow,
  StateStore,
  StateView,
  StateWrite,
} from '../../../src/ports/state-store.ts'
import type {
  PeerMessage,
  ProbeOutcome,
  SnapshotHeader,
  SnapshotSink,
  Transport,
  TransportHandlers,
} from '../../../src/ports/transport.ts'
import type { LogBatch, LogIndex, NodeId } from '../../../src/raft/index.ts'

/** A log that forwards every call. Bugs override one method. */
export class LogDelegate implements LogStore {
  protected readonly inner: LogStore

  constructor(inner: LogStore) {
    this.inner = inner
  }

  open(): Promise<LogContents> {
    return this.inner.open()
  }

  write(writes: readonly LogWrite[]): Promise<void> {
    return this.inner.write(writes)
  }

  read(first: LogIndex, last: LogIndex, bytesMax: number): Promise<readonly LogBatch[] | null> {
    return this.inner.read(first, last, bytesMax)
  }

  readCached(first: LogIndex, last: LogIndex, bytesMax: number): readonly LogBatch[] | null {
    return this.inner.readCached(first, last, bytesMax)
  }

  sizeBytes(): number {
    return this.inner.sizeBytes()
  }

  close(): Promise<void> {
    return this.inner.close()
  }
}

export class StateDelegate implements StateStore {
  protected readonly inner: StateStore

  constructor(inner: StateStore) {
    this.inner = inner
  }

  open(): Promise<Uint8Array | null> {
    return this.inner.open()
  }

  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    return this.inner.getMany(keys)
  }

  write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    return this.inner.write(writes, meta)
  }

  flush(): Promise<void> {
    return this.inner.flush()
  }

  view(): Promise<StateView> {
    return this.inner.view()
  }

  beginInstall(): Promise<StateInstall> {
    return this.inner.beginInstall()
  }

  compact(): Promise<CompactionOutcome> {
    return this.inner.compact()
  }

  sizeBytes(): number {
    return this.inner.sizeBytes()
  }

  close(): Promise<void> {
    return this.inner.close()
  }
}

export class ViewDelegate implements StateView {
  protected readonly inner: StateView

  constructor(inner: StateView) {
    this.inner = inner
  }

  get meta(): Uint8Array | null {
    return this.inner.meta
  }

  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    return this.inner.getMany(keys)
  }

  scan(range: StateRange): Promise<readonly StateRow[]> {
    return this.inner.scan(range)
  }

  keys(range: StateRange): Promise<readonly Uint8Array[]> {
    return this.inner.keys(range)
  }

  fractionUpTo(key: Uint8Array): Promise<number> {
    return this.inner.fractionUpTo(key)
  }

  sizeBytes(): Promise<number> {
    return this.inner.sizeBytes()
  }

  close(): Promise<void> {
    return this.inner.close()
  }
}

export class TransportDelegate implements Transport {
  protected readonly inner: Transport

  constructor(inner: Transport) {
    this.inner = inner
  }

  start(handlers: TransportHandlers): Promise<void> {
    return this.inner.start(handlers)
  }

  setPeers(peers: ReadonlyMap<NodeId, string>): void {
    this.inner.setPeers(peers)
  }

  send(message: PeerMessage): void {
    this.inner.send(message)
  }

  isConnected(peer: NodeId): boolean {
    return this.inner.isConnected(peer)
  }

  probe(raftAddress: string, timeoutMs: number): Promise<ProbeOutcome> {
    return this.inner.probe(raftAddress, timeoutMs)
  }

  openSnapshot(to: NodeId, header: SnapshotHeader): Promise<SnapshotSink> {
    return this.inner.openSnapshot(to, header)
  }

  roundTripMs(peer: NodeId): number | null {
    return this.inner.roundTripMs(peer)
  }

  stop(): Promise<void> {
    return this.inner.stop()
  }
}
