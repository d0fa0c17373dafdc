import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { bytes, compact, duration } from '../lib/format.ts'
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
    const last = history.times.at(-1)
    if (plot.current === null || last === undefined) return
    plot.current.batch(() => {
      plot.current?.setData(dataOf(entry, history), true)
      plot.current?.setScale('x', { min: last - spanMs / 1000, max: last })
    })
  }, [readings, width, theme, spanMs])
  return (
    <Card title={entry.title} tools={<Legend entry={entry} history={history} />} class="chart">
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
    cursor: { sync: { key: 'charts' }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (_, __, max) => [0, roomAbove(max)] } },
    axes: [
      { ...axis, space: 90, size: 26, values: (_, times) => times.map((time) => clockOf(time)) },
      { ...axis, space: 34, size: 58, gap: 4, values: (_, values) => values.map((value) => show(value)) },
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
function roomAbove(max: number | null): number {
  return max === null || max <= 0 ? 1 : max * 1.1
}

function clockOf(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  })
}

/** A canvas knows no custom properties, so an element is asked for the colour that one comes to. */
function colourOf(element: HTMLElement, name: string): string {
  const probe = document.createElement('span')
  probe.style.color = `var(${name})`
  element.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}
