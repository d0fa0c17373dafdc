import { closest } from '../lib/closest.ts'
import { configKeys, flagNames, settings } from './config.ts'
import { showable, type Given } from './given.ts'
import type { Mistake } from './setting.ts'

/** Reads `--name value` and `--name=value`. The result has each flag by its name without dashes; mistakes are added to `mistakes`. */
export function readFlags(words: readonly string[], mistakes: Mistake[]): ReadonlyMap<string, Given> {
  const given = new Map<string, Given>()
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    const [, name, attached] = /^--([^=]*)(?:=([\s\S]*))?$/.exec(word) ?? []
    if (name === undefined) {
      mistakes.push({ given: word, wrong: 'is not a flag', allowed: 'flags of the form --name value' })
      continue
    }
    const next = words[at + 1]
    const following = attached === undefined && next?.startsWith('--') === false ? next : undefined
    if (following !== undefined) at += 1
    const text = attached ?? following
    const key = configKeys.find((candidate) => settings[candidate].flag === name)
    if (key === undefined) {
      mistakes.push({ given: word, wrong: 'is an unknown flag', allowed: suggestion(name) })
    } else if (text === undefined) {
      mistakes.push({ given: word, wrong: 'has no value', allowed: settings[key].allowed })
    } else if (given.has(name)) {
      mistakes.push({
        given: `--${name} ${showable(settings[key], text)}`,
        wrong: 'is given twice',
        allowed: 'each flag once',
      })
    } else {
      given.set(name, { text, shown: `--${name} ${showable(settings[key], text)}`, source: 'flag' })
    }
  }
  return given
}

function suggestion(name: string): string {
  const near = closest(name, flagNames)
  return near === null ? 'the flags that `quorate serve --help` lists' : `--${near}, if that was meant`
}
