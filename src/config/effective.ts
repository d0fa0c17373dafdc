import { configKeys, settings, type Config } from './config.ts'
import type { Given } from './given.ts'

/** One setting as it takes effect. */
export interface EffectiveSetting {
  readonly name: string
  /** In the flag's own notation. Null: it is not set, or secret. */
  readonly value: string | null
  /** Null: it is not set. */
  readonly source: string | null
  readonly secret: boolean
}

/** Every setting in the order of the help. */
export function effectiveSettings(given: ReadonlyMap<keyof Config, Given>): readonly EffectiveSetting[] {
  return configKeys.map((key) => {
    const { flag, secret = false } = settings[key]
    const { text = null, source = null } = given.get(key) ?? {}
    // An empty secret is none, and may be shown.
    const hidden = secret && text !== null && text !== ''
    return { name: flag, value: hidden ? null : text, source, secret: hidden }
  })
}

/** As a configuration file, with the source of each line. What is not set, secret or not for a file is a comment. */
export function effectiveFile(effective: readonly EffectiveSetting[]): string {
  const lines = effective.map((setting): readonly [string, string] => {
    const { name, value, source, secret } = setting
    if (source === null) return [`# ${name}:`, 'not set']
    if (secret) return [`# ${name}:`, `${source}, secret`]
    const line = `${name}: ${yamlText(value ?? '')}`
    return [name === settings.configFile.flag ? `# ${line}` : line, source]
  })
  const width = Math.max(...lines.map(([line]) => line.length))
  return lines.map(([line, comment]) => `${line.padEnd(width)}  # ${comment}\n`).join('')
}

/** Texts that YAML could take for something else are quoted as in JSON, which YAML includes. */
function yamlText(text: string): string {
  const isPlain = /^[A-Za-z0-9](?:[\w.,:/+-]*[\w/])?$/.test(text) && !/^(null|true|false|~)$/i.test(text)
  return isPlain || text === 'true' || text === 'false' ? text : JSON.stringify(text)
}
