import { metrics, type Reading } from '../api/metrics.ts'
import { bounds } from '../bounds.ts'
import { Store } from '../lib/store.ts'
import { ChartHistory } from './chart-history.ts'

/** The last quarter of an hour, for as long as the page is open. */
export const chartHistory = new ChartHistory(bounds.chartSpanMs, bounds.chartReadingsMax)
/** How often something was added. */
export const chartReadings = new Store(0)

let before: Reading | null = null

metrics.seen.follow(() => {
  const { value, failingSince } = metrics.seen.value
  if (failingSince !== null || value === null || value === before) return
  if (before !== null) {
    chartHistory.push(value.at, before.metrics, value.metrics, (value.at - before.at) / 1000)
    chartReadings.set(chartReadings.value + 1)
  }
  before = value
})
