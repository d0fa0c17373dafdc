import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { bytes, compact, duration, timeOfDay } from '../lib/format.ts'
import { useWidth } from '../lib/size.ts'
import { Card } from '../parts/page.tsx'
import type { ChartEntry, ChartHistory } from './chart-history.ts'

interface ChartProps {
  readonly entry: ChartEntry
  readonly history: ChartHistory
  /** Changes when there is something new. */
  readonly readings: number
  /** Changes with the colours. */
  readonly theme: string
  readonly spanMs: number
}

const HEIGHT = 150
const SPAN_SECONDS_MIN = 60

/** Shows a number with its unit. */
const shown: Readonly<Record<ChartEntry['unit'], (value: number) => string>> = {
  rate: (value) => `${compact(value)}/s`,
  seconds: (value) => (value === 0 ? '0' : duration(value * 1000)),
  bytes,
  count: compact,
  share: (value) => `${compact(value * 100)}%`,
}

export function Chart({ entry, history, readings, theme, spanMs }: ChartProps) {
  const [element, width] = useWidth<HTMLDivElement>()
  const plot = useRef<uPlot | null>(null)
  useEffect(() => {
    if (element.current === null || width === 0) return
    plot.current = new uPlot(optionsOf(entry, width, element.current), dataOf(entry, history), element.current)
    return () => {
      plot.current?.destroy()
      plot.current = null
    }
  }, [entry, width, theme])
  useEffect(() => {
    const [first, last] = [history.times.at(0), history.times.at(-1)]
    if (plot.current === null || first === undefined || last === undefined) return
    // A chart that has just begun is not a line at the edge.
    const from = Math.max(last - spanMs / 1000, Math.min(first, last - SPAN_SECONDS_MIN))
    plot.current.batch(() => {
      plot.current?.setData(dataOf(entry, history), true)
      plot.current?.setScale('x', { min: from, max: last })
    })
  }, [readings, width, theme, spanMs])
  return (
    <Card title={entry.title} class="chart">
      <Legend entry={entry} history={history} />
      <div ref={element} class="plot" role="img" aria-label={`${entry.title}. ${entry.hint}`} />
      <p class="hint">{entry.hint}</p>
    </Card>
  )
}

/** The lines, with the last number of each. */
function Legend({ entry, history }: Pick<ChartProps, 'entry' | 'history'>) {
  return (
    <ul class="legend">
      {entry.series.map(({ name }, at) => {
        const last = history.line(entry.name, name).at(-1) ?? null
        return (
          <li key={name}>
            <span class={`swatch series-${at + 1}`} aria-hidden="true" />
            {name} <strong>{last === null ? '–' : shown[entry.unit](last)}</strong>
          </li>
        )
      })}
    </ul>
  )
}

function dataOf(entry: ChartEntry, history: ChartHistory): uPlot.AlignedData {
  return [history.times, ...entry.series.map(({ name }) => history.line(entry.name, name))]
}

function optionsOf(entry: ChartEntry, width: number, element: HTMLElement): uPlot.Options {
  const colour = (name: string): string => colourOf(element, name)
  const show = shown[entry.unit]
  const axis: uPlot.Axis = {
    stroke: colour('--faint'),
    font: `11px ${getComputedStyle(element).fontFamily}`,
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
  }
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 28, 0, 0],
    cursor: { sync: { key: 'charts' }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (_, __, max) => [0, roomAbove(max, entry.unit)] } },
    axes: [
      { ...axis, space: 90, size: 26, values: (_, times) => times.map((time) => timeOfDay(time * 1000)) },
      {
        ...axis,
        space: 34,
        size: 62,
        gap: 4,
        values: (_, values) => values.map((value) => show(value)),
        ...(entry.unit === 'bytes' ? { incrs: stepsOfBytes } : {}),
      },
    ],
    series: [
      {},
      ...entry.series.map(({ name }, at): uPlot.Series => ({
        label: name,
        stroke: colour(`--series-${at + 1}`),
        width: 1.5,
        points: { show: false },
        spanGaps: false,
      })),
    ],
  }
}

/** A line at the very top would be hidden by the frame, and one of zeros needs a scale. */
function roomAbove(max: number | null, unit: ChartEntry['unit']): number {
  return max === null || max <= 0 ? smallest[unit] : max * 1.1
}

const smallest: Readonly<Record<ChartEntry['unit'], number>> = {
  rate: 10,
  seconds: 0.01,
  bytes: 1024 * 1024,
  count: 10,
  share: 0.1,
}

/** Steps of a scale that are round in their unit; the others are round in tens. */
const stepsOfBytes = Array.from({ length: 50 }, (_, at) => 2 ** at)

/** A canvas knows no custom properties, so an element is asked for the colour that one comes to. */
function colourOf(element: HTMLElement, name: string): string {
  const probe = document.createElement('span')
  probe.style.color = `var(${name})`
  element.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}
