import { bounds } from '../bounds.ts'
import { parseMetrics, type Metrics } from '../lib/metrics.ts'
import { Poller } from './poller.ts'
import { sendForText } from './request.ts'

export interface Reading {
  /** By the clock of the browser. */
  readonly at: number
  readonly metrics: Metrics
}

/** The metrics of the node of this page. */
export const metrics = new Poller<Reading>(async () => {
  const text = await sendForText({ path: '/metrics', timeoutMs: bounds.pollTimeoutMs, waitsForToken: false })
  return { at: Date.now(), metrics: parseMetrics(text) }
})
