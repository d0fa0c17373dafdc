import type { HistogramView } from '../../api/health.ts'

/** The labels of a series as they stand between the braces, and what it shows. */
export type HistogramSeries = readonly [labels: string, view: HistogramView]

/** Histograms that are counted elsewhere, in the text format. prom-client's own histograms would have to see every observation. */
export function histogramText(name: string, help: string, series: readonly HistogramSeries[]): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`]
  for (const [labels, { bounds, counts, count, sum }] of series) {
    const first = labels === '' ? '' : `${labels},`
    const all = labels === '' ? '' : `{${labels}}`
    let below = 0
    for (const [at, bound] of bounds.entries()) {
      below += counts[at] ?? 0
      lines.push(`${name}_bucket{${first}le="${bound}"} ${below}`)
    }
    lines.push(`${name}_bucket{${first}le="+Inf"} ${count}`, `${name}_sum${all} ${sum}`, `${name}_count${all} ${count}`)
  }
  lines.push('')
  return lines.join('\n')
}
