import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { type CST, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, Parser, type Pair } from 'yaml'
import { closest } from '../lib/closest.ts'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'
import { configKeys, flagNames, settings } from './config.ts'
import { showable, type Given } from './given.ts'
import type { Mistake } from './setting.ts'

const { configFileBytesMax, configFileLevelsMax } = limits
const form = 'YAML or JSON with one value for each setting, by the names of the flags, such as heartbeat: 50ms'
const namesItself = 'config'
const names = flagNames.filter((name) => name !== namesItself)

/**
 * Reads the settings in a file, each by the name of its flag. A path that is not absolute begins in `directory`. Mistakes are added to
 * `mistakes`, each with the line; JSON is read as the YAML that it is.
 */
export function readConfigFile(path: string, directory: string, mistakes: Mistake[]): ReadonlyMap<string, Given> {
  const text = readText(resolve(directory, path))
  if (typeof text !== 'string') {
    mistakes.push({ given: path, wrong: text.wrong, allowed: `a file with ${form}` })
    return new Map()
  }
  return new ConfigFile(path, mistakes).read(text)
}

function readText(path: string): string | { readonly wrong: string } {
  try {
    const stats = statSync(path)
    // Reading from a pipe or a device may never end.
    if (!stats.isFile()) return { wrong: 'is not a file' }
    if (stats.size > configFileBytesMax) return { wrong: `has ${stats.size} bytes, more than ${configFileBytesMax}` }
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
  } catch (error) {
    if (error instanceof TypeError) return { wrong: 'is not UTF-8' }
    return { wrong: `cannot be read: ${toError(error).message}` }
  }
}

class ConfigFile {
  private readonly path: string
  private readonly mistakes: Mistake[]
  private readonly lines = new LineCounter()
  private readonly given = new Map<string, Given>()

  constructor(path: string, mistakes: Mistake[]) {
    this.path = path
    this.mistakes = mistakes
  }

  read(text: string): ReadonlyMap<string, Given> {
    if (isDeep(text)) {
      this.add(this.path, 'is nested too deeply', form)
      return this.given
    }
    // Doubled keys are found below, where both lines are known.
    const document = parseDocument(text, { lineCounter: this.lines, uniqueKeys: false, prettyErrors: false })
    const [unsound] = [...document.errors, ...document.warnings]
    // Lines after the first such mistake may be misread.
    if (unsound !== undefined) this.add(this.placeOf(unsound.pos[0]), `is not sound YAML: ${unsound.message}`, form)
    else if (isMap(document.contents)) for (const pair of document.contents.items) this.take(pair)
    // A file of comments alone holds no setting, and nothing wrong.
    else if (document.contents !== null) this.add(this.path, 'holds no settings', form)
    return this.given
  }

  private take({ key, value }: Pair): void {
    const at = this.placeOf(isNode(key) ? key.range?.[0] : undefined)
    if (!isScalar(key)) return this.add(at, 'has a key that is not a name', form)
    const name = key.source ?? ''
    const known = configKeys.find((candidate) => settings[candidate].flag === name)
    if (name === namesItself) return this.add(`${at}: ${name}`, 'names a further file', 'all settings in this file')
    if (known === undefined) return this.add(`${at}: ${name}`, 'is an unknown key', suggestion(name))
    const earlier = this.given.get(name)
    if (earlier !== undefined) {
      return this.add(`${at}: ${name}`, `is given twice, first at ${earlier.source}`, 'each key once')
    }
    const setting = settings[known]
    const text = textOf(value)
    if (typeof text !== 'string') return this.add(`${at}: ${name}`, text.wrong, setting.allowed)
    this.given.set(name, { text, shown: `${at}: ${name}: ${showable(setting, text)}`, source: at })
  }

  private add(given: string, wrong: string, allowed: string): void {
    this.mistakes.push({ given, wrong, allowed })
  }

  private placeOf(offset: number | undefined): string {
    return offset === undefined ? this.path : `${this.path}:${this.lines.linePos(offset).line}`
  }
}

/** Whether there are more levels than settings can have. What builds the document calls itself for each, and might end the process. */
function isDeep(text: string): boolean {
  let level: readonly CST.Token[] = [...new Parser().parse(text)]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > configFileLevelsMax) return true
    level = level.flatMap(partsOf)
  }
  return false
}

function partsOf(token: CST.Token): CST.Token[] {
  const parts = 'items' in token ? token.items.flatMap(({ key, value }) => [key, value]) : []
  if (token.type === 'document') parts.push(token.value)
  return parts.filter((part) => part !== null && part !== undefined)
}

/** The value as it is written, so that `0123` and `1e3` stay the texts that they are. */
function textOf(value: unknown): string | { readonly wrong: string } {
  if (isSeq(value)) return { wrong: 'is a list, not one value' }
  if (isMap(value)) return { wrong: 'is a mapping, not one value' }
  if (isAlias(value)) return { wrong: 'is an alias, not a value' }
  if (!isScalar(value) || value.value === null || value.source === undefined) return { wrong: 'has no value' }
  return value.source
}

/** People write names as in the environment or in a program: `QUORATE_DATA_DIR`, `data_dir`, `dataDir`. */
function suggestion(name: string): string {
  const words = name.replace(/^(--|QUORATE_)/, '').replaceAll(/([a-z])([A-Z])/g, '$1-$2')
  const near = closest(words.replaceAll('_', '-').toLowerCase(), names)
  return near === null ? 'the flags that `quorate serve --help` lists, without dashes' : `${near}, if that was meant`
}
