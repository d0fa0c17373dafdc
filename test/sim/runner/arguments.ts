import { parseArgs } from 'node:util'
import type { Focus } from '../world/focus.ts'

export type Task =
  /** Many seeds, on every core. */
  | {
      readonly kind: 'campaign'
      readonly from: number
      readonly seeds: number
      readonly minutes: number
      readonly workers: number
      /** Only seeds about this; null for all. */
      readonly focus: Focus | null
    }
  /** One seed again, with a trace of everything that happens. */
  | {
      readonly kind: 'replay'
      readonly seed: number
      readonly bug: string | null
      readonly quiet: boolean
      readonly focus: Focus | null
    }
  /** Runs every planted bug until it is found. */
  | { readonly kind: 'planted'; readonly only: string | null; readonly workers: number }
  /** Plays every scene, or those whose name contains `only`. */
  | { readonly kind: 'cases'; readonly only: string | null; readonly from: number }
  | { readonly kind: 'usage'; readonly problem: string }

export const USAGE = `npm run sim -- [--seeds N] [--from S] [--workers W]    runs seeds S to S+N-1 (default 1000 from 1)
npm run sim -- --minutes M [--from S]                  runs seeds from S on for M minutes
npm run sim -- --focus discovery [--seeds N ...]        the same of nothing but discovery with crashes
npm run sim -- --seed N [--focus F] [--bug NAME] [--quiet]
                                                       runs one seed again and prints what happens
npm run sim -- --cases [--only TEXT] [--from S]        plays every scene, those named so; tells one alone in full
npm run sim:planted [-- --only NAME]                   plants one bug after the other and counts the seeds until it is found`

const WORKERS_DEFAULT = 2
const SEEDS_DEFAULT = 1000

export function parseTask(given: readonly string[]): Task {
  try {
    const { values } = parseArgs({
      args: [...given],
      options: {
        seeds: { type: 'string' },
        from: { type: 'string' },
        seed: { type: 'string' },
        minutes: { type: 'string' },
        workers: { type: 'string' },
        bug: { type: 'string' },
        quiet: { type: 'boolean' },
        planted: { type: 'boolean' },
        cases: { type: 'boolean' },
        only: { type: 'string' },
        focus: { type: 'string' },
      },
    })
    const focus = focusOf(values.focus)
    const workers = wholeNumber('workers', values.workers, WORKERS_DEFAULT, 1)
    if (values.planted === true) return { kind: 'planted', only: values.only ?? null, workers }
    if (values.cases === true)
      return { kind: 'cases', only: values.only ?? null, from: wholeNumber('from', values.from, 1) }
    if (values.seed !== undefined) {
      const seed = wholeNumber('seed', values.seed, 0)
      return { kind: 'replay', seed, bug: values.bug ?? null, quiet: values.quiet ?? false, focus }
    }
    const minutes = values.minutes === undefined ? Infinity : wholeNumber('minutes', values.minutes, 1, 1)
    const seeds = wholeNumber('seeds', values.seeds, minutes === Infinity ? SEEDS_DEFAULT : Number.MAX_SAFE_INTEGER, 1)
    return { kind: 'campaign', from: wholeNumber('from', values.from, 1), seeds, minutes, workers, focus }
  } catch (error) {
    return { kind: 'usage', problem: error instanceof Error ? error.message : String(error) }
  }
}

function wholeNumber(name: string, text: string | undefined, otherwise: number, min = 0): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < min)
    throw new Error(`--${name} takes a whole number from ${min} on, not ${text}`)
  return value
}

function focusOf(text: string | undefined): Focus | null {
  if (text === undefined || text === 'discovery') return text ?? null
  throw new Error(`--focus takes discovery, not ${text}`)
}
