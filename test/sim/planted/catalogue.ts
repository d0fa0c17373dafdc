import type { PlantedBug } from '../machines/planted-bug.ts'
import { authBugs } from './auth.ts'
import { commitBugs } from './commits.ts'
import { featureLevelBugs } from './feature-levels.ts'
import { historyBugs } from './history.ts'
import { importBugs } from './imports.ts'
import { incarnationBugs } from './incarnations.ts'
import { leaseBugs } from './leases.ts'
import { livenessBugs } from './liveness.ts'
import { logBugs } from './logs.ts'
import { lookBugs } from './looks.ts'
import { membershipBugs } from './memberships.ts'
import { pastReadBugs } from './past-reads.ts'
import { readBugs } from './reads.ts'
import { standstillBugs } from './standstills.ts'
import { stateBugs } from './states.ts'
import { viewBugs } from './views.ts'
import { voteBugs } from './votes.ts'
import { watchBugs } from './watches.ts'

/** Every planted bug. */
export const plantedBugs: readonly PlantedBug[] = [
  ...voteBugs,
  ...commitBugs,
  ...logBugs,
  ...readBugs,
  ...membershipBugs,
  ...incarnationBugs,
  ...stateBugs,
  ...historyBugs,
  ...pastReadBugs,
  ...watchBugs,
  ...featureLevelBugs,
  ...leaseBugs,
  ...authBugs,
  ...importBugs,
  ...viewBugs,
  ...lookBugs,
  ...standstillBugs,
  ...livenessBugs,
]

export function plantedBug(name: string): PlantedBug {
  const bug = plantedBugs.find((one) => one.name === name)
  if (bug !== undefined) return bug
  throw new Error(`no planted bug is called ${name}; there are ${plantedBugs.map((one) => one.name).join(', ')}`)
}
