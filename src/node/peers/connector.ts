import type { Transport } from '../../ports/transport.ts'
import type { NodeAddresses, NodeId } from '../../raft/index.ts'
import type { Faults } from '../options.ts'
import type { Callers } from './callers.ts'
import type { DialAddresses } from './dial-addresses.ts'
import type { Leavers } from './leavers.ts'

export interface ConnectorDependencies {
  readonly transport: Transport
  readonly dials: DialAddresses
  readonly callers: Callers
  readonly leavers: Leavers
  /** The members of the effective membership, this node among them. */
  readonly listed: () => ReadonlyMap<NodeId, NodeAddresses>
  readonly faults: Faults
}

const PROBE_TIMEOUT_MS = 2_000

/** Tells the transport whom to keep connections to: members, those that leave, and those that called. */
export class Connector {
  private readonly self: NodeId
  private readonly deps: ConnectorDependencies

  constructor(self: NodeId, dependencies: ConnectorDependencies) {
    this.self = self
    this.deps = dependencies
  }

  /** `anew`: a peer whose connection, if there is one, must be replaced. */
  connect(anew: NodeId | null = null): void {
    const { transport, callers, leavers } = this.deps
    const peers = new Map<NodeId, string>(callers.all)
    for (const [id, raft] of leavers.addresses()) peers.set(id, raft)
    for (const [id, raft] of this.addressesOfMembers()) peers.set(id, raft)
    peers.delete(this.self)
    if (anew !== null) transport.setPeers(new Map([...peers].filter(([id]) => id !== anew)))
    transport.setPeers(peers)
  }

  /** Where the other members are dialled. */
  addressesOfMembers(): Map<NodeId, string> {
    const { listed, dials } = this.deps
    const addresses = new Map([...listed()].map(([id, { raft }]) => [id, dials.addressOf(id) ?? raft]))
    addresses.delete(this.self)
    return addresses
  }

  /** A connected member is dialled at its new address as soon as it answers there. */
  prove(id: NodeId): void {
    const { transport, listed, dials, faults } = this.deps
    const raft = listed().get(id)?.raft
    if (raft === undefined) return
    transport
      .probe(raft, PROBE_TIMEOUT_MS)
      .then((outcome) => {
        if (outcome.kind === 'answered' && outcome.report.id === id && dials.prove(id, raft)) this.connect()
      })
      .catch((error: unknown) => faults.report(error))
  }
}
