import type { Setting, SettingsOf } from './setting.ts'
import { automationSettings, type AutomationConfig } from './settings/automation.ts'
import { leadershipSettings, type LeadershipConfig } from './settings/leadership.ts'
import { nodeSettings, type NodeConfig } from './settings/node.ts'
import { processSettings, type ProcessConfig } from './settings/process.ts'
import { storageSettings, type StorageConfig } from './settings/storage.ts'
import { tlsSettings, type TlsConfig } from './settings/tls.ts'

/** Every setting of a node. Frozen; sizes in bytes, times in milliseconds. */
export interface Config
  extends NodeConfig, TlsConfig, AutomationConfig, LeadershipConfig, StorageConfig, ProcessConfig {}

/** In the order of the help. A test compares docs/OPERATIONS.md with this table. */
export const settings: SettingsOf<Config> = {
  ...nodeSettings,
  ...tlsSettings,
  ...automationSettings,
  ...leadershipSettings,
  ...storageSettings,
  ...processSettings,
}

export const configKeys = Object.keys(settings) as readonly (keyof Config)[]
export const flagNames: readonly string[] = configKeys.map((key) => settings[key].flag)

/** The environment variable that can stand for a flag. */
export function variableOf(flag: string): string {
  return `QUORATE_${flag.toUpperCase().replaceAll('-', '_')}`
}

export interface SettingDescription extends Pick<Setting<unknown>, 'summary' | 'allowed'> {
  /** With dashes and placeholder: `--id N`. */
  readonly flag: string
  readonly variable: string
  /** The default; `required` or nothing where there is none. */
  readonly initial: string
}

/** What the help and docs/OPERATIONS.md say about each flag. */
export function describeSettings(): readonly SettingDescription[] {
  return configKeys.map((key) => {
    const { flag, placeholder, initial, required, summary, allowed } = settings[key]
    const shown = initial ?? (required ? 'required' : '')
    return { flag: `--${flag} ${placeholder}`, variable: variableOf(flag), initial: shown, summary, allowed }
  })
}
