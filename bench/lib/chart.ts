import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, View } from 'vega'
import { compile } from 'vega-lite'
import type { Point } from './statistics.ts'

export interface Axis {
  readonly title: string
  readonly scale?: 'linear' | 'log' | 'percentile'
}

export interface Chart {
  /** Of the file, without its ending. */
  readonly name: string
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly lines: Readonly<Record<string, readonly Point[]>>
}

/** Percentiles are drawn by how rare what lies beyond them is: 90, 99 and 99.9 are equally far apart. */
function placed(value: number, { scale }: Axis): number {
  return scale === 'percentile' ? 100 / (100 - value) : value
}

function channel(field: 'x' | 'y', axis: Axis): object {
  const { title, scale = 'linear' } = axis
  const labels = scale === 'percentile' ? { labelExpr: "format(100 - 100 / datum.value, '.6~r')" } : {}
  const place = scale === 'linear' ? { type: 'linear', zero: true } : { type: 'log' }
  return { field, type: 'quantitative', title, scale: place, axis: { ...labels } }
}

/** The chart as SVG. Points that a logarithmic axis cannot show are left out. */
export async function render({ title, x, y, lines }: Chart): Promise<string> {
  const values = Object.entries(lines)
    .flatMap(([line, points]) => points.map((point) => ({ line, x: placed(point[0], x), y: placed(point[1], y) })))
    .filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y))
    .filter((point) => (isLinear(x) || point.x > 0) && (isLinear(y) || point.y > 0))
  const { spec } = compile({
    title,
    width: 560,
    height: 320,
    background: 'white',
    data: { values },
    mark: { type: 'line', point: values.length <= 400, interpolate: 'linear' },
    encoding: {
      x: channel('x', x),
      y: channel('y', y),
      color: { field: 'line', type: 'nominal', title: null, sort: Object.keys(lines) },
    },
  })
  const view = new View(parse(spec), { renderer: 'none' })
  const svg = await view.toSVG()
  view.finalize()
  return svg
}

function isLinear({ scale = 'linear' }: Axis): boolean {
  return scale === 'linear'
}

export async function saveCharts(charts: readonly Chart[], directory: string): Promise<string[]> {
  mkdirSync(directory, { recursive: true })
  const files: string[] = []
  for (const chart of charts) {
    const file = join(directory, `${chart.name}.svg`)
    writeFileSync(file, await render(chart))
    files.push(file)
  }
  return files
}
