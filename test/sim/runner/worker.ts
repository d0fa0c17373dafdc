import { parentPort } from 'node:worker_threads'
import type { Focus } from '../world/focus.ts'
import { plantedBug } from '../planted/catalogue.ts'
import { runSeed, watchRejections } from './run-seed.ts'

export interface WorkerRequest {
  readonly seed: number
  readonly bug: string | null
  readonly focus: Focus | null
}

/** Runs one seed for each request, one at a time. */
const port = parentPort
if (port !== null) {
  watchRejections()
  // Most errors are refusals that clients expect. A replay shows where the others come from.
  Error.stackTraceLimit = 0
  port.on('message', ({ seed, bug, focus }: WorkerRequest) => {
    const planted = bug === null ? null : plantedBug(bug)
    runSeed(seed, planted === null ? { focus } : { bug: planted, focus }).then(
      (report) => port.postMessage(report),
      (error: unknown) => {
        // Thrown outside of the promise, so that it leaves the worker as an error event.
        setImmediate(() => {
          throw error
        })
      },
    )
  })
}
