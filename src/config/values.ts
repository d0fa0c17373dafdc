import { describeDuration, duration, durationRange, type DurationRange } from '../lib/duration.ts'
import { right, within, wrong, type Parsed, type Parser } from '../lib/parsed.ts'
import { describeSize, size } from '../lib/size.ts'
import type { Values } from './setting.ts'

/*
 * Kinds of values. Each range is stated once: the words for the help and the check come from the same numbers. `also` names a
 * bound that depends on another setting, which `checks.ts` holds.
 */

/** A whole number in decimal digits, `[min, max]`. */
export function wholeNumbers(min: number, max: number): Values<number> {
  const parse: Parser<number> = (text) =>
    /^[0-9]{1,16}$/.test(text) ? within(Number(text), min, max, String) : wrong('is not a whole number')
  return { allowed: `a whole number from ${min} to ${max}`, parse }
}

/** Bytes, `[min, max]`. */
export function sizes(min: number, max: number): Values<number> {
  return { allowed: `a size from ${describeSize(min)} to ${describeSize(max)}`, parse: size(min, max) }
}

/** Bytes, `[min, max]`, or 0 for what is off. */
export function sizesOrOff(min: number, max: number): Values<number> {
  const { allowed, parse } = sizes(min, max)
  return { allowed: `${allowed}, or 0 to turn it off`, parse: (text) => (text === '0' ? right(0) : parse(text)) }
}

/** Milliseconds, `[min, max]`. */
export function durations(min: number, max: number, also: string = ''): Values<number> {
  const range = `${describeDuration(min)} to ${describeDuration(max)}`
  return { allowed: `a duration from ${range}${also}`, parse: duration(min, max) }
}

/** Milliseconds, `[min, max]`, or 0 for what is off. */
export function durationsOrOff(min: number, max: number): Values<number> {
  const { allowed, parse } = durations(min, max)
  return { allowed: `${allowed}, or 0 to turn it off`, parse: (text) => (text === '0' ? right(0) : parse(text)) }
}

/** Two durations of which the second is longer, both in `[min, max]`. */
export function durationRanges(min: number, max: number, also: string): Values<DurationRange> {
  const range = `${describeDuration(min)} to ${describeDuration(max)}`
  return { allowed: `two durations from ${range}${also}`, parse: durationRange(min, max) }
}

export function choices<const Choice extends string>(names: readonly Choice[]): Values<Choice> {
  const parse: Parser<Choice> = (text) => {
    const choice = names.find((name) => name === text)
    return choice === undefined ? wrong('is not one of the choices') : right(choice)
  }
  return { allowed: names.join(', '), parse }
}

const booleans = choices(['true', 'false'])

export const switches: Values<boolean> = {
  ...booleans,
  parse: (text) => {
    const parsed = booleans.parse(text)
    return parsed.ok ? right(parsed.value === 'true') : parsed
  },
}

/** A path is not empty and contains no NUL, which file systems forbid. */
export function path(text: string): Parsed<string> {
  return text.trim() === '' || text.includes('\0') ? wrong('is not a path') : right(text)
}

export function visibleTexts(charactersMax: number): Values<string> {
  const parse: Parser<string> = (text) => {
    if (!/^[\x21-\x7e]*$/.test(text)) return wrong('holds characters other than visible ASCII')
    if (text.length > charactersMax) return wrong(`has ${text.length} characters, more than ${charactersMax}`)
    return right(text)
  }
  return { allowed: `up to ${charactersMax} visible ASCII characters`, parse }
}

/** Origins of web pages, separated by commas, in the notation of browsers. Without any, the list is empty. */
export function webOrigins(countMax: number): Values<readonly string[]> {
  const parse: Parser<readonly string[]> = (text) => {
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
  const example = 'https://ui.example,http://10.0.0.9:8080'
  return { allowed: `at most ${countMax}, separated by commas, such as ${example}`, parse }
}

function describeNoOrigin(text: string): string {
  if (text.includes('*')) return `names ${text}, which would let every page in: name each origin`
  return text === 'null'
    ? 'names null, which any page can have as its origin'
    : `names ${text || 'nothing'}, which is not the origin of a web page`
}
