import type { CrashMoment } from '../machines/machine.ts'
import type { CrashOrder } from './stage.ts'

const MOMENTS: readonly CrashMoment[] = ['write-begin', 'write-end', 'send']

/** Each of `machines` crashes at each of the first `atMax` occurrences of each moment, alternately by a kill and by a loss of power. */
export function crashesOf(machines: readonly number[], atMax: number): CrashOrder[] {
  const crashes: CrashOrder[] = []
  for (const machine of machines) {
    for (const [i, moment] of MOMENTS.entries()) {
      for (let at = 1; at <= atMax; at++) {
        crashes.push({ machine, moment, at, kind: (machine + i + at) % 2 === 0 ? 'power' : 'kill' })
      }
    }
  }
  return crashes
}

export function describeCrash(crash: CrashOrder | null): string {
  if (crash === null) return 'no crash'
  return `${crash.machine} dies at ${crash.moment} ${crash.at} (${crash.kind})`
}
