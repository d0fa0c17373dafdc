import type { Node } from '../../../src/node/node.ts'
import type { PeerRegister } from '../../../src/node/options.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'

/** A member is whoever came last under its id, and is written down as that. */
function believesWhoeverComes({ replica: { peers } }: Node): void {
  const incarnations = peers['incarnations']
  const refuse = peers['refuse'].bind(peers)
  peers['refuse'] = (from, said, purpose) => {
    if (incarnations.of(from) !== null) incarnations.replace(from, said.incarnation)
    return refuse(from, said, purpose)
  }
}

/** The incarnations of peers do not get to the disk. */
class WritesNoIncarnation implements PeerRegister {
  private readonly inner: PeerRegister

  constructor(inner: PeerRegister) {
    this.inner = inner
  }

  load(): Promise<ReadonlyMap<NodeId, string>> {
    return this.inner.load()
  }

  remember(): Promise<void> {
    return Promise.resolve()
  }

  forget(id: NodeId): Promise<void> {
    return this.inner.forget(id)
  }
}

export const incarnationBugs: readonly PlantedBug[] = [
  {
    name: 'incarnations-not-compared',
    says: 'a member is whoever came last under its id, also after it has lost its data',
    seedsMax: 200,
    plant: believesWhoeverComes,
  },
  {
    name: 'incarnations-not-written',
    says: 'the incarnations of peers do not get to the disk',
    seedsMax: 20,
    wrapPeers: (peers) => new WritesNoIncarnation(peers),
  },
]
