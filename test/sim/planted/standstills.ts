import type { Node } from '../../../src/node/node.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'

/** A node takes the time in which it stood still for a silence of its members. */
function noticesNoGap(node: Node): void {
  const attention = node['automation']?.['membershipAutopilot']['attention']
  if (attention !== undefined) attention.look = () => -Infinity
}

export const standstillBugs: readonly PlantedBug[] = [
  {
    name: 'standstill-unnoticed',
    says: 'members are missed for the time in which the leader itself stood still',
    seedsMax: 500,
    needsInspections: true,
    plant: noticesNoGap,
  },
]
