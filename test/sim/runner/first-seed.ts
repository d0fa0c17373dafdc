import type { PlantedBug } from '../machines/planted-bug.ts'
import { AUTH_FROM, IMPORTS_FROM, INSPECTIONS_FROM, LEVEL_1_FROM, REPEATS_FROM } from '../world/options.ts'

/** The first of the seeds in which the bug may show. */
export function firstSeedFor(bug: PlantedBug): number {
  const { needsLevel, needsRepeats, needsAuth, needsImports, needsInspections } = bug
  if (needsInspections === true) return INSPECTIONS_FROM
  if (needsImports === true) return IMPORTS_FROM
  if (needsAuth === true) return AUTH_FROM
  if (needsRepeats === true) return REPEATS_FROM
  return needsLevel === 1 ? LEVEL_1_FROM : 1
}
