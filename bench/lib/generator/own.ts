import { endChild, forkChild } from '../children.ts'
import type { Load, OpenLoad, OpenResult } from '../load.ts'
import { watchUsage } from '../usage.ts'

export interface RunningOwn {
  readonly result: Promise<OpenResult>
  stop(): Promise<OpenResult>
}

/** Starts `module`, a generator that is sent its load and sends back `{ report }`, and adds its CPU time to what it reports. */
export function startGenerator<Result extends { readonly requests: number; readonly generatorCpuUs: number }>(
  module: string,
  load: object,
): { readonly result: Promise<Result>; stop(): Promise<Result> } {
  const child = forkChild(module)
  const usage = watchUsage(child.pid)
  const result = new Promise<Result>((resolve, reject) => {
    child.on('message', ({ report, error }: { report?: Omit<Result, 'generatorCpuUs'>; error?: string }) => {
      const generatorCpuUs = (usage.stop().cpuMs * 1000) / Math.max(1, report?.requests ?? 1)
      if (report === undefined) reject(new Error(`the load generator: ${error}`))
      else resolve({ ...report, generatorCpuUs } as Result)
    })
    child.on('error', reject)
    child.on('exit', (code) => reject(new Error(`the load generator ended with ${code}`)))
  })
  const ended = finish(result, async () => {
    usage.stop()
    await endChild(child)
  })
  child.send(load)
  return {
    result: ended,
    stop: async () => {
      if (child.connected) child.send('stop')
      return ended
    },
  }
}

/** Whatever becomes of `work`, `cleanUp` follows it. */
async function finish<T>(work: Promise<T>, cleanUp: () => Promise<void>): Promise<T> {
  try {
    return await work
  } finally {
    await cleanUp()
  }
}

export function startOwn(load: Load | OpenLoad): RunningOwn {
  return startGenerator<OpenResult>('generator/generator-process.js', load)
}

export function runOwn(load: Load | OpenLoad): Promise<OpenResult> {
  return startOwn(load).result
}
