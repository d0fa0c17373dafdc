import { right, within, wrong, type Parsed, type Parser } from '../lib/parsed.ts'

/** A command-line flag that can also be given as an environment variable. */
export interface Setting<Value> {
  /** The name without dashes: `data-dir` is `--data-dir` and `QUORATE_DATA_DIR`. */
  readonly flag: string
  /** The placeholder for the value in the help. */
  readonly placeholder: string
  readonly summary: string
  /** The allowed values, in words that continue "allowed: ". */
  readonly allowed: string
  /** The default, in the flag's own notation. Null: there is none, see `required`. */
  readonly initial: string | null
  /** Without a default, a missing value is a mistake when this is true; otherwise the setting is null. */
  readonly required: boolean
  readonly parse: (text: string) => Parsed<Value>
}

/** A mistake in a setting. `given` is what the user wrote: `--heartbeat 5x` or `QUORATE_HEARTBEAT=5x`. */
export interface Mistake {
  readonly given: string
  readonly wrong: string
  readonly allowed: string
}

/** A whole number in decimal digits, `[min, max]`. */
export function integer(min: number, max: number): Parser<number> {
  return (text) => {
    if (!/^[0-9]{1,16}$/.test(text)) return wrong('is not a whole number')
    return within(Number(text), min, max, String)
  }
}

export function oneOf<const Choice extends string>(choices: readonly Choice[]): Parser<Choice> {
  return (text) => {
    const choice = choices.find((candidate) => candidate === text)
    return choice === undefined ? wrong('is none of the choices') : right(choice)
  }
}

/** A path is not empty and contains no NUL, which file systems forbid. */
export function path(text: string): Parsed<string> {
  return text.trim() === '' || text.includes('\0') ? wrong('is not a path') : right(text)
}

export function visibleText(charactersMax: number): Parser<string> {
  return (text) => {
    if (!/^[\x21-\x7e]*$/.test(text)) return wrong('holds characters other than visible ASCII')
    return text.length <= charactersMax
      ? right(text)
      : wrong(`has ${text.length} characters, more than ${charactersMax}`)
  }
}

/** Origins of web pages, separated by commas, in the notation of browsers. Without any, the list is empty. */
export function webOrigins(countMax: number): Parser<readonly string[]> {
  return (text) => {
    const given = text === '' ? [] : text.split(',').map((part) => part.trim())
    if (given.length > countMax) return wrong(`names ${given.length} origins, more than ${countMax}`)
    const origins: string[] = []
    for (const one of given) {
      const match = /^https?:\/\/([^/?#@\\\s*]+)\/?$/i.exec(one)
      if (match === null || !URL.canParse(one)) return wrong(describeNoOrigin(one))
      origins.push(new URL(one).origin)
    }
    return right(origins)
  }
}

function describeNoOrigin(text: string): string {
  if (text.includes('*')) return `names ${text}, which would let every page in: name each origin`
  return text === 'null'
    ? 'names null, which any page can be'
    : `names ${text || 'nothing'}, which is no origin of a web page`
}
