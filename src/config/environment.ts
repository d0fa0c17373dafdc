import { closest } from '../lib/closest.ts'
import { flagNames, variableOf } from './config.ts'
import { showable, type Given } from './given.ts'
import type { Setting } from './setting.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The variable that stands for a flag. An empty one counts as absent: shells and container files leave a variable out that way. */
export function readVariable(setting: Setting<unknown>, environment: Environment): Given | undefined {
  const variable = variableOf(setting.flag)
  const text = environment[variable]
  if (text === undefined || text === '') return undefined
  return { text, shown: `${variable}=${showable(setting, text)}`, source: variable }
}

/** These are for client commands. */
const clientVariables: ReadonlySet<string> = new Set([
  'QUORATE_SERVER',
  'QUORATE_CA',
  'QUORATE_CERT',
  'QUORATE_KEY',
  'QUORATE_TOKEN',
  'QUORATE_TOKEN_FILE',
])

/** Variables that Kubernetes and Docker add for a service or container called quorate: `QUORATE_SERVICE_HOST`, `QUORATE_PORT_7001_TCP`. */
const orchestrated = /^QUORATE_([A-Z0-9]+_)*(SERVICE_(HOST|PORT)|PORT|ENV|NAME)(_|$)/

/** A warning for each variable that looks like a setting and is none. */
export function findStrayVariables(environment: Environment): string[] {
  const variables = flagNames.map(variableOf)
  const strays = Object.keys(environment).filter(
    (name) => name.startsWith('QUORATE_') && !clientVariables.has(name) && !variables.includes(name),
  )
  return strays.flatMap((name) => {
    const near = closest(name, variables)
    if (near !== null) return [`the environment variable ${name} is not a setting; did you mean ${near}?`]
    return orchestrated.test(name) ? [] : [`the environment variable ${name} is not a setting, and is ignored`]
  })
}
