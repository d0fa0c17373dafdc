import { effectiveFile, effectiveSettings } from '../config/effective.ts'
import { readConfig } from '../config/read-config.ts'
import { describeMistakes } from '../config/setting.ts'
import { exitCodes, type Terminal } from './terminal.ts'

export interface ShowOptions {
  readonly json?: true
}

/** Checks a file by itself. What a start needs besides may come from flags or the environment, and is no mistake of the file. */
export function checkFile(terminal: Terminal, file: string): number {
  const outcome = readConfig([`--config=${file}`], {})
  const mistakes = outcome.kind === 'mistakes' ? outcome.mistakes : []
  const wrong = mistakes.filter(({ isMissing }) => isMissing !== true)
  if (wrong.length > 0) {
    terminal.printError(`quorate config check: the configuration is wrong\n${describeMistakes(wrong)}`)
    return exitCodes.usage
  }
  const missing = mistakes.map(({ given }) => given)
  const rest = missing.length === 0 ? '' : `; a start also needs ${missing.join(' and ')}`
  terminal.print(`${file}: ok${rest}\n`)
  return exitCodes.stopped
}

/** Shows what takes effect of `flags`, the environment and the file, without secrets. */
export function show(terminal: Terminal, flags: readonly string[], options: ShowOptions): number {
  const outcome = readConfig(flags, terminal.environment)
  if (outcome.kind === 'mistakes') {
    terminal.printError(`quorate config show: the configuration is wrong\n${describeMistakes(outcome.mistakes)}`)
    return exitCodes.usage
  }
  for (const warning of outcome.warnings) terminal.printError(`quorate: ${warning}\n`)
  const settings = effectiveSettings(outcome.given)
  terminal.print(options.json === true ? `${JSON.stringify({ settings })}\n` : effectiveFile(settings))
  return exitCodes.stopped
}
