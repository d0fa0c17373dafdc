import { parseArgs } from 'node:util'
import { limits } from '../../src/limits.ts'

export interface SoakOptions {
  readonly minutes: number
  /** `--value-bytes-max` of the nodes; values are written from 16 bytes up to this size. */
  readonly valueBytesMax: number
  /** The most that all writers together send. The machine must keep idle time: one that is too busy causes elections. */
  readonly bytesPerSecond: number
  /** Whether elections are tolerated: a machine that is shared with other work causes some. */
  readonly mayElect: boolean
  /** Where each sample goes, as a line of JSON; null for nowhere. */
  readonly samples: string | null
  /** The directory where the logs of the nodes go when something was not as it should be; null for nowhere. */
  readonly logs: string | null
}

export const soakDefaults: SoakOptions = {
  minutes: 30,
  valueBytesMax: limits.valueBytesMaxCeiling,
  bytesPerSecond: 4 * 1024 * 1024,
  mayElect: false,
  samples: null,
  logs: null,
}

export const USAGE =
  'npm run soak -- [--minutes 30] [--value-bytes-max 16777216] [--bytes-per-second 4194304] [--samples FILE.jsonl] [--logs DIRECTORY]'

/** Throws an `Error` that says what is wrong with `words`. */
export function soakOptions(words: readonly string[]): SoakOptions {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...words],
    options: { minutes: text, 'value-bytes-max': text, 'bytes-per-second': text, samples: text, logs: text },
  })
  return {
    minutes: number(values.minutes, 'minutes') ?? soakDefaults.minutes,
    valueBytesMax: number(values['value-bytes-max'], 'value-bytes-max') ?? soakDefaults.valueBytesMax,
    bytesPerSecond: number(values['bytes-per-second'], 'bytes-per-second') ?? soakDefaults.bytesPerSecond,
    mayElect: soakDefaults.mayElect,
    samples: values.samples ?? null,
    logs: values.logs ?? null,
  }
}

function number(text: string | undefined, name: string): number | null {
  if (text === undefined) return null
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0) throw new Error(`--${name} ${text} is no number above 0`)
  return value
}
