import type { PlantedBug } from './bug.ts'

/** Every planted bug. */
export const plantedBugs: readonly PlantedBug[] = []

export function plantedBug(name: string): PlantedBug {
  const bug = plantedBugs.find((one) => one.name === name)
  if (bug === undefined)
    throw new Error(`no planted bug is called ${name}: there are ${plantedBugs.map((one) => one.name).join(', ')}`)
  return bug
}
