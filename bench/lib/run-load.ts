import { runOwn, startOwn } from './generator/own.ts'
import type { Load, LoadResult, OpenLoad, OpenResult, RunningLoad } from './load.ts'
import { hasWrk, startWrk } from './wrk.ts'

/** The generator of closed loops on this machine. wrk takes a fraction of the CPU time. */
export function closedLoopGenerator(): 'wrk' | 'own' {
  return hasWrk() ? 'wrk' : 'own'
}

/** wrk knows whole seconds only. */
export function startLoad(load: Load): RunningLoad {
  return closedLoopGenerator() === 'wrk' && Number.isInteger(load.seconds) ? startWrk(load) : startOwn(load)
}

export function runLoad(load: Load): Promise<LoadResult> {
  return startLoad(load).result
}

export function runOpenLoad(load: OpenLoad): Promise<OpenResult> {
  return runOwn(load)
}
