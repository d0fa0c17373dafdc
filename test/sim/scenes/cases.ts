import { disagreementScenes } from './disagreement-cases.ts'
import { discoveryScenes } from './discovery-cases.ts'
import { formationScenes } from './formation-cases.ts'
import { membershipScenes } from './membership-scenes.ts'
import { playScene, playScenes, type Print, type Scene } from './scene.ts'
import { unreachableScenes } from './unreachable-cases.ts'
import { votedScenes } from './voted-cases.ts'

/** All scenes, by topic. */
const groups: Readonly<Record<string, () => Scene[]>> = {
  formation: formationScenes,
  disagreement: disagreementScenes,
  unreachable: unreachableScenes,
  voted: votedScenes,
  discovery: discoveryScenes,
  membership: membershipScenes,
}

export interface CasesTask {
  /** Only the scenes whose names contain this. A single scene is traced in full. */
  readonly only: string | null
  readonly from: number
}

/** Plays all scenes, including those that `npm test` skips. False when one of them fails, or when there is none. */
export async function playCases({ only, from }: CasesTask, print: Print): Promise<boolean> {
  let played = 0
  let failed = 0
  for (const [group, makeScenes] of Object.entries(groups)) {
    const scenes = makeScenes().filter(({ name }) => only === null || name.includes(only))
    const [scene] = scenes
    if (scene === undefined) continue
    const startedAt = Date.now()
    const fail = (text: string): void => {
      failed += 1
      print(`FAILED ${text}`)
    }
    const { crashed, marks } = await playScenes(scenes, fail, from)
    played += scenes.length
    const met = [...marks].sort(([a], [b]) => (a < b ? -1 : 1)).map(([mark, count]) => `${mark} ${count}`)
    print(`${group}: ${scenes.length} played in ${seconds(startedAt)}, ${crashed} with a crash; ${met.join(', ')}`)
    if (scenes.length === 1 && only !== null) await playScene(scene, from, print)
  }
  print(`${played} scenes, ${failed} failed`)
  return played > 0 && failed === 0
}

function seconds(since: number): string {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`
}
