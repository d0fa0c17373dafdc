import type { Focus } from '../world/focus.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'
import { Simulation, type SeedReport } from './simulation.ts'
import { asViolation, type World } from '../world/world.ts'

let running: World | null = null

/** Turns an unhandled rejection into a failure of the seed that is running. */
export function watchRejections(): () => void {
  const onRejection = (reason: unknown): void => {
    if (running === null) throw reason
    running.fail(asViolation(reason))
  }
  process.on('unhandledRejection', onRejection)
  return () => process.off('unhandledRejection', onRejection)
}

export interface RunOptions {
  readonly print?: (line: string) => void
  readonly bug?: PlantedBug
  readonly focus?: Focus | null
}

/** Runs one seed to its end. Only one seed may run at a time. */
export async function runSeed(seed: number, options: RunOptions = {}): Promise<SeedReport> {
  const simulation = new Simulation(seed, {
    print: options.print ?? null,
    bug: options.bug ?? null,
    focus: options.focus ?? null,
  })
  running = simulation.world
  try {
    return await simulation.run()
  } finally {
    running = null
  }
}
