import { PeerTransport } from './peer-transport.ts'
import { PeerTlsFaults, type PeerTlsWarning } from './peer-tls-faults.ts'
import { TcpNetwork } from './tcp-network.ts'
import { TlsSockets, type TlsSocketsOptions } from './tls-sockets.ts'
import { silentLogger, type TransportDependencies, type TransportOptions } from './transport-options.ts'
import type { TlsSource } from '../tls/identity.ts'

/** Mutual TLS between peers. */
export interface PeerTls extends TlsSocketsOptions {
  readonly source: TlsSource
}

/** The transport between processes: framed TCP, one connection for each direction (docs/ARCHITECTURE.md). */
export class TcpTransport extends PeerTransport {
  private readonly faults: PeerTlsFaults

  /** `tls`: null or left out where peers speak without. */
  constructor(options: TransportOptions, dependencies: TransportDependencies & { readonly tls?: PeerTls | null }) {
    const { clock, logger = silentLogger, tls = null } = dependencies
    const faults = new PeerTlsFaults(() => clock.now(), logger)
    const sockets = tls === null ? undefined : new TlsSockets(tls, { source: tls.source, faults })
    super(options, { ...dependencies, network: new TcpNetwork(clock, sockets) })
    this.faults = faults
  }

  /** With whom TLS fails. */
  get warnings(): readonly PeerTlsWarning[] {
    return this.faults.warnings
  }
}
