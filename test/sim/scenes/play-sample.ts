import type { Test } from 'tap'
import { playScenes, type Scene, type ScenesReport } from './scene.ts'

/** Plays those of `scenes` that are part of `npm test`. */
export async function playSample(t: Test, scenes: readonly Scene[]): Promise<ScenesReport> {
  t.equal(new Set(scenes.map(({ name }) => name)).size, scenes.length, 'every scene has a name of its own')
  const sample = scenes.filter(({ isSampled }) => isSampled)
  const report = await playScenes(sample, (text) => t.fail(text))
  t.comment(`${report.played} of ${scenes.length} played, ${report.crashed} with a crash`)
  return report
}

/** Each of `marks` was met at least `atLeast` times. */
export function expectMarks(t: Test, report: ScenesReport, marks: readonly string[], atLeast: number): void {
  for (const mark of marks) {
    const met = report.marks.get(mark) ?? 0
    t.ok(met >= atLeast, `${mark}: met ${met} times`)
  }
}
