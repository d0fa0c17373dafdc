import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { version } from '../../src/version.ts'
import type { Point } from './statistics.ts'

export interface Figure {
  readonly bench: string
  readonly settings: Readonly<Record<string, string | number>>
  readonly values: Readonly<Record<string, number>>
  /** What does not fit into a table: distributions, and what changes over time. */
  readonly curves?: Readonly<Record<string, readonly Point[]>>
}

export const RESULTS = join(import.meta.dirname, '../../../bench/results')

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

/** The first line that a program prints that matches; null when there is no such program. */
function said(program: string, args: readonly string[], pattern: RegExp): string | null {
  let text = ''
  try {
    text = execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch (error) {
    const { code, stdout } = error as NodeJS.ErrnoException & { readonly stdout?: string }
    if (code === 'ENOENT') return null
    // Asked for its version, wrk prints it and exits with 1.
    text = stdout ?? ''
  }
  return pattern.exec(text)?.[1] ?? null
}

export function machine(): Record<string, string | number | boolean | null> {
  return {
    node: process.version,
    quorate: version,
    commit: said('git', ['rev-parse', '--short', 'HEAD'], /^(\S+)/) ?? 'unknown',
    changedSince: said('git', ['status', '--porcelain', '--untracked-files=no', 'src'], /(\S)/) !== null,
    wrk: said('wrk', ['-v'], /wrk (\S+)/),
    etcd: said('etcd', ['--version'], /etcd Version: (\S+)/),
    linux: release(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    loadAverage: loadavg()[0] ?? 0,
  }
}

/** One run of the program: what it was given, where and when, and what it measured so far. */
export interface Run {
  readonly startedAt: string
  readonly command: string
  readonly machine: ReturnType<typeof machine>
  readonly figures: readonly Figure[]
}

/** Stores the run in `<date>.json` of `directory`, beside other runs of that day and in place of itself. */
export function save(run: Run, directory: string): string {
  mkdirSync(directory, { recursive: true })
  const file = join(directory, `${run.startedAt.slice(0, 10)}.json`)
  let others: Run[] = []
  try {
    others = (JSON.parse(readFileSync(file, 'utf8')) as Run[]).filter(({ startedAt }) => startedAt !== run.startedAt)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  writeFileSync(`${file}.new`, `${JSON.stringify([...others, run], null, 1)}\n`)
  renameSync(`${file}.new`, file)
  return file
}
