import { checks } from './checks.ts'
import { configKeys, settings, variableOf, type Config } from './config.ts'
import { findStrayVariables, readVariable, type Environment } from './environment.ts'
import { readFlags, type Given } from './flags.ts'
import type { Mistake, Setting } from './setting.ts'

export type ConfigOutcome =
  | { readonly kind: 'config'; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly kind: 'mistakes'; readonly mistakes: readonly Mistake[] }

/** Reads the flags, and takes the settings that they leave out from the environment. Reports every mistake, not only the first. */
export function readConfig(flags: readonly string[], environment: Environment): ConfigOutcome {
  const mistakes: Mistake[] = []
  const given = readFlags(flags, mistakes)
  const shown = new Map<keyof Config, string>()
  const values: Partial<Record<keyof Config, unknown>> = {}
  for (const key of configKeys) {
    const setting: Setting<unknown> = settings[key]
    const chosen = given.get(setting.flag) ?? readVariable(setting.flag, environment) ?? defaultOf(setting)
    if (chosen !== null) shown.set(key, chosen.shown)
    const value = parse(setting, chosen, mistakes)
    if (value !== undefined) values[key] = value
  }
  for (const check of checks) {
    const found = check.judge(values as Partial<Config>)
    if (found !== null) mistakes.push({ given: check.shown.map((key) => shown.get(key)).join(' '), ...found })
  }
  if (mistakes.length > 0) return { kind: 'mistakes', mistakes }
  // Without mistakes, the setting of each key has parsed a value of the right type.
  const config = Object.freeze(values as Partial<Config> as Config)
  return { kind: 'config', config, warnings: findStrayVariables(environment) }
}

function defaultOf({ flag, initial }: Setting<unknown>): Given | null {
  return initial === null ? null : { text: initial, shown: `--${flag} ${initial} (default)` }
}

/** Null: the setting may be left out, and is. Undefined: it is wrong or missing, and a mistake says so. */
function parse(setting: Setting<unknown>, given: Given | null, mistakes: Mistake[]): unknown {
  const { allowed } = setting
  if (given === null) {
    if (!setting.required) return null
    const wrong = `is missing (or ${variableOf(setting.flag)} in the environment)`
    mistakes.push({ given: `--${setting.flag}`, wrong, allowed })
    return undefined
  }
  const parsed = setting.parse(given.text)
  if (parsed.ok) return typeof parsed.value === 'object' ? Object.freeze(parsed.value) : parsed.value
  mistakes.push({ given: given.shown, wrong: parsed.wrong, allowed })
  return undefined
}
