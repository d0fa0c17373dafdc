import { PeerTransport } from './peer-transport.ts'
import { TcpNetwork } from './tcp-network.ts'
import type { TransportDependencies, TransportOptions } from './transport-options.ts'

/** The transport between processes: framed TCP, one connection for each direction (docs/ARCHITECTURE.md). */
export class TcpTransport extends PeerTransport {
  constructor(options: TransportOptions, dependencies: TransportDependencies) {
    super(options, { ...dependencies, network: new TcpNetwork(dependencies.clock) })
  }
}
