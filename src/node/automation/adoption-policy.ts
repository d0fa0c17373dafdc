import type { Sighting } from '../../ports/automation.ts'
import type { AdoptionRule } from '../peers/peers-options.ts'
import type { PeerDiscovery } from './peer-discovery.ts'
import type { Pledges } from './pledges.ts'

export interface AdoptionPolicyDependencies {
  readonly pledges: Pledges
  /** Null when the node does not look for others. */
  readonly peerDiscovery: PeerDiscovery | null
  /** Whether a cluster of this id carries this node's token. */
  readonly carriesToken: (clusterId: string) => boolean
}

/** Which cluster this node may take part in, for as long as it has none. */
export class AdoptionPolicy implements AdoptionRule {
  private readonly deps: AdoptionPolicyDependencies

  constructor(deps: AdoptionPolicyDependencies) {
    this.deps = deps
  }

  /**
   * A node that has pledged itself to a cluster takes part in no other. When a node that looks for others has met a cluster of its token, it
   * does not help another one to its first leader (`isLed` is false).
   */
  mayAdopt(clusterId: string, isLed: boolean): boolean {
    const { pledges, peerDiscovery } = this.deps
    if (pledges.against(clusterId) !== null) return false
    if (peerDiscovery === null) return true
    this.remember(peerDiscovery.sightings())
    const { metCluster } = pledges
    return isLed || metCluster === null || clusterId === metCluster
  }

  /** A cluster does not end because its members are away for a while: a node that has met it never forms another in its place. */
  remember(sightings: readonly Sighting[]): void {
    const { pledges, carriesToken } = this.deps
    const led = sightings.flatMap((sighting) => {
      if (sighting.kind !== 'node' || !sighting.node.hadLeader) return []
      const { clusterId } = sighting.node
      return clusterId !== null && carriesToken(clusterId) ? [clusterId] : []
    })
    const [first] = led
    // Of several clusters, one is remembered for as long as it is there: each change of mind is a write to the disk.
    if (first !== undefined && (pledges.metCluster === null || !led.includes(pledges.metCluster))) pledges.meet(first)
  }
}
