import { Worker } from 'node:worker_threads'
import type { SeedReport } from './simulation.ts'
import type { WorkerRequest } from './worker.ts'

/**
 * A seed makes many objects that live for a few events. In a young generation of this size most of them are dead by the time of a
 * collection, and a collection costs what is alive.
 */
const YOUNG_GENERATION_MB = 96

/** Worker threads that run seeds. */
export class Crew {
  private readonly workers: Worker[]

  constructor(size: number) {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const program = new URL(`./worker.${extension}`, import.meta.url)
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB }
    this.workers = Array.from({ length: size }, () => new Worker(program, { resourceLimits }))
  }

  /** Runs the seeds from `next` until it returns null, and passes every report to `onReport`. */
  async run(
    next: () => WorkerRequest | null,
    onReport: (report: SeedReport, request: WorkerRequest) => void,
  ): Promise<void> {
    await Promise.all(
      this.workers.map(async (worker) => {
        for (let request = next(); request !== null; request = next()) onReport(await ask(worker, request), request)
      }),
    )
  }

  async dismiss(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()))
  }
}

/** Lets a crew of so many workers run, and dismisses it. */
export async function withCrew<T>(size: number, run: (crew: Crew) => Promise<T>): Promise<T> {
  const crew = new Crew(size)
  try {
    return await run(crew)
  } finally {
    await crew.dismiss()
  }
}

function ask(worker: Worker, request: WorkerRequest): Promise<SeedReport> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void): void => {
      worker.off('message', onMessage)
      worker.off('error', onError)
      settle()
    }
    const onMessage = (report: SeedReport): void => done(() => resolve(report))
    const onError = (error: Error): void =>
      done(() => reject(new Error(`seed ${request.seed}: ${error.message}`, { cause: error })))
    worker.on('message', onMessage)
    worker.on('error', onError)
    worker.postMessage(request)
  })
}
