import type { Chart } from './chart.ts'
import type { Figure } from './report.ts'

/** `smoke`: whether it works at all; no figure of it means anything. `full`: on a quiet machine that has time. */
export const sizes = ['smoke', 'quick', 'normal', 'full'] as const
export type Size = (typeof sizes)[number]

/** What may be given on the command line in place of what a size says. */
export interface Given {
  readonly keys?: number
  readonly valueBytes?: number
  readonly repeat?: number
}

export interface Bench<Options> {
  readonly sizes: Readonly<Record<Size, Options>>
  run(options: Options): Promise<Figure[]>
  charts?(figures: readonly Figure[]): readonly Chart[]
}

export interface RunnableBench {
  run(size: Size, given: Given): Promise<Figure[]>
  charts(figures: readonly Figure[]): readonly Chart[]
}

/** What is given replaces the options of the same name. */
export function runnable<Options extends object>(bench: Bench<Options>): RunnableBench {
  return {
    run: (size, given) => {
      const options = bench.sizes[size]
      const fitting = Object.entries(given).filter(([name]) => name in options)
      return bench.run({ ...options, ...Object.fromEntries(fitting) })
    },
    charts: (figures) => bench.charts?.(figures) ?? [],
  }
}
