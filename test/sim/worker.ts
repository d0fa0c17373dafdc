import { parentPort } from 'node:worker_threads'
import { plantedBug } from './planted/catalogue.ts'
import { runSeed, watchRejections } from './run-seed.ts'

export interface WorkerRequest {
  readonly seed: number
  readonly bug: string | null
}

/** Runs one seed for each request, one after the other. */
const port = parentPort
if (port !== null) {
  watchRejections()
  port.on('message', ({ seed, bug }: WorkerRequest) => {
    const planted = bug === null ? null : plantedBug(bug)
    runSeed(seed, planted === null ? {} : { bug: planted }).then(
      (report) => port.postMessage(report),
      (error: unknown) => {
        // Out of the worker it goes, as an error event.
        setImmediate(() => {
          throw error
        })
      },
    )
  })
}
