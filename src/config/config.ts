import { automationSettings, checkAutomation, type AutomationConfig } from './settings/automation.ts'
import { closest } from '../lib/closest.ts'
import { leadershipSettings, type LeadershipConfig } from './settings/leadership.ts'
import { limits } from '../limits.ts'
import { describeDuration, duration } from '../lib/duration.ts'
import { describeSize, size } from '../lib/size.ts'
import { formatHostPort, hostPort, overlap, reachable, reachableOrigin, type HostPort } from '../lib/host-port.ts'
import { integer, oneOf, path, visibleText, webOrigins, type Mistake, type Setting } from './setting.ts'
import type { Parsed } from '../lib/parsed.ts'

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
const logFormats = ['json', 'text'] as const

/** Every setting of a node. Frozen; sizes in bytes, times in milliseconds. */
export interface Config extends AutomationConfig, LeadershipConfig {
  readonly id: number
  readonly dataDirectory: string
  readonly api: HostPort
  readonly raft: HostPort
  /** `http://host:port`. Null: the address where the API listens. */
  readonly apiAdvertise: string | null
  /** `host:port`. Null: the address where the node listens for its peers. */
  readonly raftAdvertise: string | null
  /** Web pages of these origins may use the API: `https://ui.example`. */
  readonly apiOrigins: readonly string[]
  readonly clusterToken: string
  readonly valueBytesMax: number
  readonly purgeEveryEntries: number
  readonly purgeEveryBytes: number
  readonly keepEntries: number
  readonly keepBytes: number
  readonly snapshotBytesPerSecondMax: number
  readonly snapshotHoldMs: number
  readonly snapshotHoldBytes: number
  readonly segmentBytes: number
  readonly shutdownTimeoutMs: number
  readonly logLevel: (typeof logLevels)[number]
  readonly logFormat: (typeof logFormats)[number]
}

const KiB = 1024
const MiB = 1024 * KiB
const nodeIdMax = 2 ** 31 - 1
const tokenCharactersMax = 128

/** Every flag, in the order of the help. A test compares docs/OPERATIONS.md with this table. */
const settings: { readonly [Key in keyof Config]: Setting<Config[Key]> } = {
  id: {
    flag: 'id',
    placeholder: 'N',
    summary: 'this node, for its whole life; never given to another',
    allowed: `a whole number from 1 to ${nodeIdMax}`,
    initial: null,
    required: true,
    parse: integer(1, nodeIdMax),
  },
  dataDirectory: {
    flag: 'data-dir',
    placeholder: 'DIR',
    summary: 'where log and state live; belongs to one node alone',
    allowed: 'a path; the directory is made when it is missing',
    initial: null,
    required: true,
    parse: path,
  },
  api: {
    flag: 'api',
    placeholder: 'HOST:PORT',
    summary: 'where the REST API listens',
    allowed: 'HOST:PORT, such as 127.0.0.1:7001, [::1]:7001 or 0.0.0.0:7001',
    initial: '127.0.0.1:7001',
    required: true,
    parse: hostPort,
  },
  raft: {
    flag: 'raft',
    placeholder: 'HOST:PORT',
    summary: 'where the node listens for its peers',
    allowed: 'HOST:PORT, such as 127.0.0.1:7101, [::1]:7101 or 0.0.0.0:7101',
    initial: '127.0.0.1:7101',
    required: true,
    parse: hostPort,
  },
  apiAdvertise: {
    flag: 'api-advertise',
    placeholder: 'HOST:PORT',
    summary: 'where clients reach the API; default: where it listens',
    allowed: 'HOST:PORT or http://HOST:PORT, with a real port and a host that others can reach',
    initial: null,
    required: false,
    parse: reachableOrigin,
  },
  raftAdvertise: {
    flag: 'raft-advertise',
    placeholder: 'HOST:PORT',
    summary: 'where peers reach this node; default: where it listens',
    allowed: 'HOST:PORT with a real port and a host that others can reach',
    initial: null,
    required: false,
    parse: reachable,
  },
  apiOrigins: {
    flag: 'api-origins',
    placeholder: 'ORIGIN,...',
    summary: 'web pages of these origins may use the API, beside those that the node serves itself',
    allowed: `at most ${limits.apiOriginsMax}, with commas between them, such as https://ui.example,http://10.0.0.9:8080`,
    initial: '',
    required: false,
    parse: webOrigins(limits.apiOriginsMax),
  },
  clusterToken: {
    flag: 'cluster-token',
    placeholder: 'TEXT',
    summary: 'part of the cluster id: clusters with another token refuse each other',
    allowed: `up to ${tokenCharactersMax} visible ASCII characters`,
    initial: '',
    required: false,
    parse: visibleText(tokenCharactersMax),
  },
  ...automationSettings,
  ...leadershipSettings,
  valueBytesMax: {
    flag: 'value-bytes-max',
    placeholder: 'SIZE',
    summary: 'the largest value; the same on all nodes',
    allowed: `a size from 1KiB to ${describeSize(limits.valueBytesMaxCeiling)}`,
    initial: describeSize(limits.valueBytesMaxDefault),
    required: true,
    parse: size(KiB, limits.valueBytesMaxCeiling),
  },
  purgeEveryEntries: {
    flag: 'purge-every',
    placeholder: 'ENTRIES',
    summary: 'flush the state and free the log below it after this many entries',
    allowed: 'a whole number from 10 to 100000000',
    initial: '100000',
    required: true,
    parse: integer(10, 100_000_000),
  },
  purgeEveryBytes: {
    flag: 'purge-every-bytes',
    placeholder: 'SIZE',
    summary: 'the same, after this many bytes',
    allowed: 'a size from 64KiB to 64GiB',
    initial: '256MiB',
    required: true,
    parse: size(64 * KiB, 64 * 1024 * MiB),
  },
  keepEntries: {
    flag: 'keep-entries',
    placeholder: 'ENTRIES',
    summary: 'what a purge leaves for followers that are slightly behind',
    allowed: 'a whole number from 0 to 100000000',
    initial: '20000',
    required: true,
    parse: integer(0, 100_000_000),
  },
  keepBytes: {
    flag: 'keep-bytes',
    placeholder: 'SIZE',
    summary: 'the most that a purge leaves',
    allowed: 'a size from 0 to 64GiB',
    initial: '64MiB',
    required: true,
    parse: size(0, 64 * 1024 * MiB),
  },
  snapshotBytesPerSecondMax: {
    flag: 'snapshot-rate',
    placeholder: 'SIZE',
    summary: 'the most bytes a second of all snapshots together that this node sends',
    allowed: 'a size from 64KiB to 16GiB',
    initial: '64MiB',
    required: true,
    parse: size(64 * KiB, 16 * 1024 * MiB),
  },
  snapshotHoldMs: {
    flag: 'snapshot-hold',
    placeholder: 'DURATION',
    summary: 'how long a node that is sent a snapshot holds a purge back without getting on',
    allowed: 'a duration from 1s to 2h',
    initial: '5m',
    required: true,
    parse: duration(1000, 120 * 60_000),
  },
  snapshotHoldBytes: {
    flag: 'snapshot-hold-bytes',
    placeholder: 'SIZE',
    summary: 'how much log it holds back at most',
    allowed: 'a size from 1MiB to 1024GiB',
    initial: '8GiB',
    required: true,
    parse: size(MiB, 1024 * 1024 * MiB),
  },
  segmentBytes: {
    flag: 'segment-bytes',
    placeholder: 'SIZE',
    summary: 'the size of a log file, allocated ahead; four of the largest values at least',
    allowed: 'a size from 1MiB to 1GiB',
    initial: describeSize(limits.segmentBytes),
    required: true,
    parse: size(MiB, 1024 * MiB),
  },
  shutdownTimeoutMs: {
    flag: 'shutdown-timeout',
    placeholder: 'DURATION',
    summary: 'how long a graceful stop may take',
    allowed: 'a duration from 100ms to 10m',
    initial: '10s',
    required: true,
    parse: duration(100, 10 * 60_000),
  },
  logLevel: {
    flag: 'log-level',
    placeholder: 'LEVEL',
    summary: 'the least important lines that are logged',
    allowed: logLevels.join(', '),
    initial: 'info',
    required: true,
    parse: oneOf(logLevels),
  },
  logFormat: {
    flag: 'log-format',
    placeholder: 'FORMAT',
    summary: 'json for machines, text for people',
    allowed: logFormats.join(', '),
    initial: 'json',
    required: true,
    parse: oneOf(logFormats),
  },
}

export type ConfigOutcome =
  | { readonly kind: 'config'; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly kind: 'mistakes'; readonly mistakes: readonly Mistake[] }

interface Given {
  readonly text: string
  readonly shown: string
}

/** Reads the flags, and takes the settings that they leave out from the environment. Reports every mistake, not only the first. */
export function readConfig(
  flags: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): ConfigOutcome {
  const mistakes: Mistake[] = []
  const given = readFlags(flags, mistakes)
  const values: Partial<Record<keyof Config, unknown>> = {}
  for (const key of keys) {
    const setting: Setting<unknown> = settings[key]
    const fromEnvironment = environment[variableOf(setting.flag)]
    const chosen = given.get(setting.flag) ?? fromVariable(setting.flag, fromEnvironment)
    const parsed = parseSetting(setting, chosen, mistakes)
    if (parsed !== undefined) values[key] = parsed
  }
  checkTogether(values as Partial<Config>, mistakes)
  checkAutomation(values as Partial<Config>, mistakes)
  if (mistakes.length > 0) return { kind: 'mistakes', mistakes }
  // Without mistakes, the setting of each key has parsed a value of the right type.
  return {
    kind: 'config',
    config: Object.freeze(values as Partial<Config> as Config),
    warnings: findStrayVariables(environment),
  }
}

const keys = Object.keys(settings) as (keyof Config)[]
const flagNames: readonly string[] = keys.map((key) => settings[key].flag)

function variableOf(flag: string): string {
  return `QUORATE_${flag.toUpperCase().replaceAll('-', '_')}`
}

/** An empty variable counts as absent: shells and container files leave a variable out that way. */
function fromVariable(flag: string, text: string | undefined): Given | undefined {
  return text === undefined || text === '' ? undefined : { text, shown: `${variableOf(flag)}=${text}` }
}

function readFlags(flags: readonly string[], mistakes: Mistake[]): Map<string, Given> {
  const given = new Map<string, Given>()
  for (let i = 0; i < flags.length; i++) {
    const token = flags[i] ?? ''
    const match = /^--([^=]*)(?:=([\s\S]*))?$/.exec(token)
    const name = match?.[1] ?? ''
    if (match === null) {
      mistakes.push({ given: token, wrong: 'is no flag', allowed: 'flags of the form --name value' })
      continue
    }
    const key = keys.find((candidate) => settings[candidate].flag === name)
    const next = flags[i + 1]
    const hasNext = next !== undefined && !next.startsWith('--')
    const text = match[2] ?? (hasNext ? next : undefined)
    if (match[2] === undefined && hasNext) i++
    if (key === undefined) {
      const near = closest(name, flagNames)
      const allowed = near === null ? 'the flags that `quorate serve --help` lists' : `perhaps --${near} was meant`
      mistakes.push({ given: token, wrong: 'is an unknown flag', allowed })
    } else if (text === undefined) {
      mistakes.push({ given: token, wrong: 'has no value', allowed: settings[key].allowed })
    } else if (given.has(name)) {
      mistakes.push({ given: `--${name} ${text}`, wrong: 'is given twice', allowed: 'each flag once' })
    } else {
      given.set(name, { text, shown: `--${name} ${text}` })
    }
  }
  return given
}

function parseSetting<Value>(
  setting: Setting<Value>,
  given: Given | undefined,
  mistakes: Mistake[],
): Value | null | undefined {
  const text = given?.text ?? setting.initial
  if (text === null) {
    if (!setting.required) return null
    const wrong = `is missing (or ${variableOf(setting.flag)} in the environment)`
    mistakes.push({ given: `--${setting.flag}`, wrong, allowed: setting.allowed })
    return undefined
  }
  const parsed: Parsed<Value> = setting.parse(text)
  if (parsed.ok) return typeof parsed.value === 'object' ? Object.freeze(parsed.value) : parsed.value
  mistakes.push({ given: given?.shown ?? `--${setting.flag} ${text}`, wrong: parsed.wrong, allowed: setting.allowed })
  return undefined
}

/** Checks settings that can only be wrong together. A setting that is wrong by itself is not checked again. */
function checkTogether(values: Partial<Config>, mistakes: Mistake[]): void {
  const { heartbeatMs, electionTimeoutMs, api, raft, apiAdvertise, raftAdvertise } = values
  if (heartbeatMs !== undefined && electionTimeoutMs !== undefined && heartbeatMs * 3 > electionTimeoutMs.min) {
    mistakes.push({
      given: `--heartbeat ${describeDuration(heartbeatMs)} --election-timeout ${describeDuration(electionTimeoutMs.min)}-${describeDuration(electionTimeoutMs.max)}`,
      wrong: 'do not go together: a lost heartbeat or two would unseat a leader that is alive',
      allowed: `a shortest election timeout of at least three heartbeats (${describeDuration(heartbeatMs * 3)})`,
    })
  }
  if (api !== undefined && raft !== undefined && overlap(api, raft)) {
    mistakes.push({
      given: `--api ${formatHostPort(api)} --raft ${formatHostPort(raft)}`,
      wrong: 'want the same port',
      allowed: 'two different ports',
    })
  }
  if (typeof raftAdvertise === 'string' && apiAdvertise === `http://${raftAdvertise}`) {
    mistakes.push({
      given: `--api-advertise ${apiAdvertise} --raft-advertise ${raftAdvertise}`,
      wrong: 'are the same address',
      allowed: 'two different addresses: clients and peers speak different protocols',
    })
  }
}

/** Variables that Kubernetes and Docker add for a service or container called quorate: `QUORATE_SERVICE_HOST`, `QUORATE_PORT_7001_TCP`. */
const orchestrated = /^QUORATE_([A-Z0-9]+_)*(SERVICE_(HOST|PORT)|PORT|ENV|NAME)(_|$)/

function findStrayVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const variables = flagNames.map(variableOf)
  return Object.keys(environment)
    .filter((name) => name.startsWith('QUORATE_') && name !== 'QUORATE_SERVER' && !variables.includes(name))
    .flatMap((name) => {
      const near = closest(name, variables)
      if (near !== null) return [`the environment variable ${name} is no setting; perhaps ${near} was meant`]
      return orchestrated.test(name) ? [] : [`the environment variable ${name} is no setting, and is ignored`]
    })
}

/** One line of text for each mistake. */
export function describeMistakes(mistakes: readonly Mistake[]): string {
  return mistakes.map((mistake) => `  ${mistake.given}  ${mistake.wrong}\n      allowed: ${mistake.allowed}\n`).join('')
}

/** What the help and docs/OPERATIONS.md say about each flag. */
export function describeSettings(): readonly {
  readonly flag: string
  readonly variable: string
  readonly initial: string
  readonly summary: string
  readonly allowed: string
}[] {
  return keys.map((key) => {
    const { flag, placeholder, initial, required, summary, allowed } = settings[key]
    const shown = initial === null ? (required ? 'required' : '') : initial
    return { flag: `--${flag} ${placeholder}`, variable: variableOf(flag), initial: shown, summary, allowed }
  })
}
