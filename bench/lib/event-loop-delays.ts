import type { BenchNode } from './cluster.ts'
import { call } from './rest.ts'

/** How late the event loop of a node was, in the last half a minute at least (`src/http/operating/event-loop-delay.ts`). */
export async function eventLoopDelays({ api }: BenchNode): Promise<{ p99Ms: number; maxMs: number }> {
  const text = (await call('GET', `${api}/metrics`)).body.toString()
  const at = (quantile: string): number => {
    const line = new RegExp(`^quorate_event_loop_delay_seconds\\{quantile="${quantile}"\\} (\\S+)$`, 'm').exec(text)
    return Number(line?.[1]) * 1000
  }
  return { p99Ms: at('0.99'), maxMs: at('1') }
}
