import { FEATURE_LEVEL } from '../../../src/kv/index.ts'
import type { Node } from '../../../src/node/node.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'

/** A leader takes every member that reports at all for a new build. */
function trustsOldBuilds({ replica }: Node): void {
  const { features } = replica
  const onReport = features.onReport.bind(features)
  features.onReport = (id, build) => onReport(id, { ...build, level: FEATURE_LEVEL })
}

export const featureLevelBugs: readonly PlantedBug[] = [
  {
    name: 'level-raised-too-early',
    says: 'the feature level is raised while a member does not know it',
    seedsMax: 300,
    needsLevel: 1,
    plant: trustsOldBuilds,
  },
]
