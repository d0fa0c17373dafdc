import { crc32 } from '../../../src/lib/checksum.ts'
import type { AutomationOptions } from '../world/automation.ts'
import { Stage, type CrashOrder } from './stage.ts'
import type { Violation } from '../world/violation.ts'

export type Print = (line: string) => void

/** One situation that is staged on purpose, from its start to a sound end. */
export interface Scene {
  /** Describes the scene completely; no other scene has the same name. */
  readonly name: string
  /** Part of `npm test`. The others are for `npm run sim -- --cases`. */
  readonly isSampled: boolean
  readonly machines: number
  /** The automation of the nodes; none when left out. */
  readonly automation?: AutomationOptions
  readonly play: (stage: Stage) => Promise<void>
}

export interface SceneOutcome {
  /** Null: all rules held. */
  readonly violation: Violation | null
  /** The ordered crashes that took place. */
  readonly crashes: readonly CrashOrder[]
  /** The situations that the scene reports to have met. */
  readonly marks: ReadonlySet<string>
}

/** `from`: another number gives another timing. The scene's name is the rest of the seed, so a longer list does not change other scenes. */
export function playScene(scene: Scene, from = 1, print: Print | null = null): Promise<SceneOutcome> {
  const seed = crc32(Buffer.from(`${from} ${scene.name}`))
  return new Stage(seed, { machines: scene.machines, automation: scene.automation ?? null, print }).play(scene.play)
}

export interface ScenesReport {
  readonly played: number
  /** Those of them in which a crash took place. */
  readonly crashed: number
  /** The number of scenes that met each mark. */
  readonly marks: ReadonlyMap<string, number>
}

/** Plays the scenes one after the other, and calls `onFailure` for each that fails. */
export async function playScenes(
  scenes: readonly Scene[],
  onFailure: (text: string) => void,
  from = 1,
): Promise<ScenesReport> {
  const marks = new Map<string, number>()
  let crashed = 0
  for (const scene of scenes) {
    const outcome = await playScene(scene, from)
    if (outcome.crashes.length > 0) crashed += 1
    for (const mark of outcome.marks) marks.set(mark, (marks.get(mark) ?? 0) + 1)
    const { violation } = outcome
    if (violation !== null) onFailure(`${scene.name}: ${violation.oracle}: ${violation.message}`)
  }
  return { played: scenes.length, crashed, marks }
}
