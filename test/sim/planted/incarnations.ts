import type { Node } from '../../../src/node/node.ts'
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

export const incarnationBugs: readonly PlantedBug[] = [
  {
    name: 'incarnations-not-compared',
    says: 'a member is whoever came last under its id, also after it has lost its data',
    seedsMax: 200,
    plant: believesWhoeverComes,
  },
]
