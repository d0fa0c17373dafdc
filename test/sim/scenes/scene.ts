import { crc32 } from '../../../src/lib/checksum.ts'
import type { AutomationOptions } from '../world/automation.ts'
import { Stage, type CrashOrder } from './stage.ts'
import type { Violation } from '../world/violation.ts'

export type Print = (line: string) => void

/** One situation that is played on purpose, from its beginning to a sound end. */
export interface Scene {
  /** Says all of it, and no other scene has the same. */
  readonly name: string
  /** Part of `npm test`. The others are for `npm run sim -- --cases`. */
  readonly isSampled: boolean
  readonly machines: number
  /** What the nodes do by themselves; left out: nothing. */
  readonly automation?: AutomationOptions
  readonly play: (stage: Stage) => Promise<void>
}

export interface SceneOutcome {
  /** Null: all rules held. */
  readonly violation: Violation | null
  /** The crashes that were ordered and came to pass. */
  readonly crashes: readonly CrashOrder[]
  /** What the scene says that it has met. */
  readonly marks: ReadonlySet<string>
}

/** `from`: another number, another timing. The scene's name is the rest of the seed, so that a list may grow without changing others. */
export function playScene(scene: Scene, from = 1, print: Print | null = null): Promise<SceneOutcome> {
  const seed = crc32(Buffer.from(`${from} ${scene.name}`))
  return new Stage(seed, { machines: scene.machines, automation: scene.automation ?? null, print }).play(scene.play)
}

export interface ScenesReport {
  readonly played: number
  /** Of these, with a crash that came to pass. */
  readonly crashed: number
  /** How many met each mark. */
  readonly marks: ReadonlyMap<string, number>
}

/** Plays one after the other; `onFailure` hears of each that went wrong. */
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
