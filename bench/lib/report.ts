import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'

export interface Figure {
  readonly bench: string
  readonly settings: Readonly<Record<string, string | number>>
  readonly values: Readonly<Record<string, number>>
}

const RESULTS = join(import.meta.dirname, '../../../bench/results')

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

/** The median of each field over repeated runs, and the spread of the first as `min` and `max`. */
export function summarize<Field extends string>(
  runs: readonly Readonly<Record<Field, number>>[],
  spreadOf: Field,
): Record<string, number> {
  const first = runs[0]
  if (first === undefined) return {}
  const summary: Record<string, number> = {}
  for (const field of Object.keys(first) as Field[]) summary[field] = median(runs.map((run) => run[field]))
  summary[`${spreadOf}Min`] = Math.min(...runs.map((run) => run[spreadOf]))
  summary[`${spreadOf}Max`] = Math.max(...runs.map((run) => run[spreadOf]))
  return summary
}

function rounded(value: number): string {
  return Math.abs(value) >= 100 ? String(Math.round(value)) : value.toFixed(2)
}

export function printTable(title: string, figures: readonly Figure[]): void {
  process.stdout.write(`\n${title}\n`)
  const rows = figures.map(({ settings, values }): Record<string, string | number> => ({
    ...settings,
    ...Object.fromEntries(Object.entries(values).map(([name, value]) => [name, rounded(value)])),
  }))
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const cells = [columns, ...rows.map((row) => columns.map((column) => String(row[column] ?? '')))]
  const widths = columns.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)))
  for (const row of cells) process.stdout.write(`${row.map((cell, at) => cell.padStart(widths[at] ?? 0)).join('  ')}\n`)
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

/** Adds the figures to `bench/results/<date>.json`, with a description of the machine. */
export function save(figures: readonly Figure[], date: string): string {
  mkdirSync(RESULTS, { recursive: true })
  const file = join(RESULTS, `${date}.json`)
  const machine = {
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    commit: commit(),
  }
  let earlier: unknown[] = []
  try {
    earlier = JSON.parse(readFileSync(file, 'utf8')) as unknown[]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  writeFileSync(file, `${JSON.stringify([...earlier, { machine, figures }], null, 2)}\n`)
  return file
}
