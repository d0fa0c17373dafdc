import { checks } from './checks.ts'
import { readConfigFile } from './config-file.ts'
import { configKeys, settings, variableOf, type Config } from './config.ts'
import { findStrayVariables, readVariable, type Environment } from './environment.ts'
import { readFlags } from './flags.ts'
import type { Given } from './given.ts'
import type { Mistake, Setting } from './setting.ts'

export type ConfigOutcome =
  | {
      readonly kind: 'config'
      readonly config: Config
      readonly warnings: readonly string[]
      /** What each setting comes from. What has no default and is not given is left out. */
      readonly given: ReadonlyMap<keyof Config, Given>
    }
  | { readonly kind: 'mistakes'; readonly mistakes: readonly Mistake[] }

/**
 * Reads the flags, and takes the settings that they leave out from the environment, then from the file of `--config`. Reports every
 * mistake, not only the first. `directory` is the one in which the process runs.
 */
export function readConfig(
  flags: readonly string[],
  environment: Environment,
  directory: string = process.cwd(),
): ConfigOutcome {
  const mistakes: Mistake[] = []
  const flagged = readFlags(flags, mistakes)
  const beforeFile = (setting: Setting<unknown>): Given | undefined =>
    flagged.get(setting.flag) ?? readVariable(setting, environment)
  const file = settings.configFile.parse(beforeFile(settings.configFile)?.text ?? '')
  const written = file.ok && file.value !== null ? readConfigFile(file.value, directory, mistakes) : null
  const given = new Map<keyof Config, Given>()
  const values: Partial<Record<keyof Config, unknown>> = {}
  for (const key of configKeys) {
    const setting: Setting<unknown> = settings[key]
    const chosen = beforeFile(setting) ?? written?.get(setting.flag) ?? defaultOf(setting)
    if (chosen !== null) given.set(key, chosen)
    const value = parse(setting, chosen, mistakes)
    if (value !== undefined) values[key] = value
  }
  for (const check of checks) {
    const found = check.judge(values as Partial<Config>)
    if (found !== null) mistakes.push({ given: check.shown.map((key) => given.get(key)?.shown).join(' '), ...found })
  }
  if (mistakes.length > 0) return { kind: 'mistakes', mistakes }
  // Without mistakes, the setting of each key has parsed a value of the right type.
  const config = Object.freeze(values as Partial<Config> as Config)
  return { kind: 'config', config, warnings: findStrayVariables(environment), given }
}

function defaultOf(setting: Setting<unknown>): Given | null {
  const { flag, initial } = setting
  return initial === null ? null : { text: initial, shown: `--${flag} ${initial} (default)`, source: 'default' }
}

/** Null: the setting may be left out, and is. Undefined: it is wrong or missing, and a mistake says so. */
function parse(setting: Setting<unknown>, given: Given | null, mistakes: Mistake[]): unknown {
  const { flag, allowed } = setting
  if (given === null) {
    if (!setting.required) return null
    const wrong = `is missing (or ${variableOf(flag)} in the environment, or ${flag} in the file of --config)`
    mistakes.push({ given: `--${flag}`, wrong, allowed, isMissing: true })
    return undefined
  }
  const parsed = setting.parse(given.text)
  if (parsed.ok) return typeof parsed.value === 'object' ? Object.freeze(parsed.value) : parsed.value
  mistakes.push({ given: given.shown, wrong: parsed.wrong, allowed })
  return undefined
}
