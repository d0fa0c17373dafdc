import { limits } from '../../limits.ts'
import type { SettingsOf } from '../setting.ts'
import { choices, durations, durationsOrOff, path } from '../values.ts'

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
const logFormats = ['json', 'text'] as const

/** How the process is configured, how it ends and what it logs. */
export interface ProcessConfig {
  /** Null: there is no configuration file. */
  readonly configFile: string | null
  readonly shutdownTimeoutMs: number
  /** A request that takes as long has a line in the log; 0: none has. */
  readonly slowRequestMs: number
  readonly logLevel: (typeof logLevels)[number]
  readonly logFormat: (typeof logFormats)[number]
}

export const processSettings: SettingsOf<ProcessConfig> = {
  configFile: {
    flag: 'config',
    placeholder: 'FILE',
    summary: 'a file with settings by the names of these flags; flags and variables win over it',
    allowed: 'the path of a YAML or JSON file',
    initial: null,
    required: false,
    parse: path,
  },
  shutdownTimeoutMs: {
    flag: 'shutdown-timeout',
    placeholder: 'DURATION',
    summary: 'how long a graceful stop may take',
    initial: '10s',
    required: true,
    ...durations(100, limits.shutdownTimeoutMsMax),
  },
  slowRequestMs: {
    flag: 'slow-request',
    placeholder: 'DURATION',
    summary: 'a request that takes this long gets a line in the log that says where its time went',
    initial: '1s',
    required: true,
    ...durationsOrOff(1, limits.slowRequestMsMax),
  },
  logLevel: {
    flag: 'log-level',
    placeholder: 'LEVEL',
    summary: 'the lowest level that is logged; lines of audit are left out by silent only',
    initial: 'info',
    required: true,
    ...choices(logLevels),
  },
  logFormat: {
    flag: 'log-format',
    placeholder: 'FORMAT',
    summary: 'json for machines, text for people',
    initial: 'json',
    required: true,
    ...choices(logFormats),
  },
}
