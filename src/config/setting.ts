import type { Parser } from '../lib/parsed.ts'

/** The values that a setting may have, in words and as code. */
export interface Values<Value> {
  /** In words that continue "allowed: ". */
  readonly allowed: string
  readonly parse: Parser<Value>
}

/** A command-line flag that can also be given as an environment variable. */
export interface Setting<Value> extends Values<Value> {
  /** The name without dashes: `data-dir` is `--data-dir` and `QUORATE_DATA_DIR`. */
  readonly flag: string
  /** The placeholder for the value in the help. */
  readonly placeholder: string
  readonly summary: string
  /** The default, in the flag's own notation. Null: there is none, see `required`. */
  readonly initial: string | null
  /** Without a default, a missing value is a mistake when this is true; otherwise the setting is null. */
  readonly required: boolean
  /** The value stays out of messages and of the configuration that is shown. */
  readonly secret?: true
}

/** One setting for each property of a part of the configuration. */
export type SettingsOf<Part> = { readonly [Key in keyof Part]: Setting<Part[Key]> }

/** A mistake in one or more settings. `given` is what the user wrote: `--heartbeat 5x`, `QUORATE_HEARTBEAT=5x`, `quorate.yaml:3: heartbeat: 5x`. */
export interface Mistake {
  readonly given: string
  readonly wrong: string
  readonly allowed: string
  /** A required setting is not given at all. */
  readonly isMissing?: true
}

/** One line of text for each mistake, and one for what is allowed instead. */
export function describeMistakes(mistakes: readonly Mistake[]): string {
  return mistakes.map(({ given, wrong, allowed }) => `  ${given}  ${wrong}\n      allowed: ${allowed}\n`).join('')
}
