/** One flag of the command line, which is also an environment variable. */
export interface Setting<Value> {
  /** Without dashes: `data-dir` is `--data-dir` and `QUORATE_DATA_DIR`. */
  readonly flag: string
  /** What stands for the value in the help. */
  readonly placeholder: string
  readonly summary: string
  /** What is allowed, in words that continue "allowed: ". */
  readonly allowed: string
  /** In the flag's own notation. Null: there is none, see `required`. */
  readonly initial: string | null
  /** A setting without a value of its own is a mistake; otherwise it is null. */
  readonly required: boolean
  readonly parse: (text: string) => Parsed<Value>
}

/** Something wrong with what was asked for. `given` is what the user wrote: `--heartbeat 5x` or `QUORATE_HEARTBEAT=5x`. */
export interface Mistake {
  readonly given: string
  readonly wrong: string
  readonly allowed: string
}

export type Parsed<Value> =
  { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly wrong: string }

/** Where to listen. `host` without brackets. Port 0: any free one. */
export interface HostPort {
  readonly host: string
  readonly port: number
}

type Parser<Value> = (text: string) => Parsed<Value>

function right<Value>(value: Value): Parsed<Value> {
  return { ok: true, value }
}

function wrong(reason: string): { readonly ok: false; readonly wrong: string } {
  return { ok: false, wrong: reason }
}

/** A whole number in decimal digits, `[min, max]`. */
export function integer(min: number, max: number): Parser<number> {
  return (text) => {
    if (!/^[0-9]{1,16}$/.test(text)) return wrong('is not a whole number')
    return within(Number(text), min, max, String)
  }
}

/** From the largest to the smallest. */
const durationUnits = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const

/** `500ms`, `30s`, `5m`, `24h`; the unit is required, so that nobody gets seconds for milliseconds. `[min, max]` in milliseconds. */
export function duration(min: number, max: number): Parser<number> {
  return (text) => {
    const ms = durationMs(text)
    return ms === null
      ? wrong('is not a duration (a number with ms, s, m or h behind it)')
      : within(ms, min, max, describeDuration)
  }
}

function durationMs(text: string): number | null {
  const match = /^([0-9]{1,9})(ms|s|m|h)$/.exec(text)
  const unit = durationUnits.find(([name]) => name === match?.[2])
  return match === null || unit === undefined ? null : Number(match[1]) * unit[1]
}

/** In the largest unit that makes it a whole number. */
export function describeDuration(ms: number): string {
  const unit = durationUnits.find(([, factor]) => ms >= factor && ms % factor === 0)
  return unit === undefined ? `${ms}ms` : `${ms / unit[1]}${unit[0]}`
}

export interface DurationRange {
  readonly min: number
  readonly max: number
}

/** `300ms-600ms`, both ends in `[min, max]`, the first below the second. */
export function durationRange(min: number, max: number): Parser<DurationRange> {
  return (text) => {
    const ends = text.split('-').map(durationMs)
    const [from, to] = ends
    if (ends.length !== 2 || from === undefined || to === undefined || from === null || to === null) {
      return wrong('is not two durations with a dash between them')
    }
    if (from >= to) return wrong('does not rise: timeouts drawn from no range collide, and elections with them')
    for (const end of [from, to]) {
      const checked = within(end, min, max, describeDuration)
      if (!checked.ok) return checked
    }
    return right({ min: from, max: to })
  }
}

const sizeUnits: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** `4096`, `512KiB`, `64MiB`, `2GiB`; `[min, max]` in bytes. */
export function size(min: number, max: number): Parser<number> {
  return (text) => {
    const match = /^([0-9]{1,15})(B|KiB|MiB|GiB|)$/.exec(text)
    const unit = match === null ? undefined : sizeUnits[match[2] ?? '']
    if (match === null || unit === undefined)
      return wrong('is not a size (a whole number, or one with KiB, MiB or GiB behind it)')
    return within(Number(match[1]) * unit, min, max, describeSize)
  }
}

export function describeSize(bytes: number): string {
  for (const [unit, factor] of [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ] as const) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`
  }
  return String(bytes)
}

export function oneOf<const Choice extends string>(choices: readonly Choice[]): Parser<Choice> {
  return (text) => {
    const choice = choices.find((candidate) => candidate === text)
    return choice === undefined ? wrong('is none of the choices') : right(choice)
  }
}

/** Not empty and without NUL, which no path can hold. */
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

/** `host:port`, with an IPv6 address in brackets. */
export function hostPort(text: string): Parsed<HostPort> {
  const match = /^(?:\[([^\][]*)\]|([^:\][]*)):([0-9]{1,5})$/.exec(text)
  if (match === null) {
    if (/^[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(text))
      return wrong('is an IPv6 address without brackets or port')
    return wrong('is not of the form HOST:PORT')
  }
  const [, bracketed, plain, digits] = match
  const port = Number(digits)
  if (port > 65_535) return wrong(`names port ${port}, above 65535`)
  const host = bracketed ?? plain ?? ''
  if (host === '') return wrong('names no host')
  if (bracketed === undefined ? !isHostName(host) : !isIpv6(host)) return wrong(`names the host ${host}, which is none`)
  return right({ host: host.toLowerCase(), port })
}

/** Where others reach this node: a real port and no wildcard. Gives the canonical text. */
export function reachable(text: string): Parsed<string> {
  const parsed = hostPort(text)
  if (!parsed.ok) return parsed
  if (parsed.value.port === 0) return wrong('names port 0, where nobody can be reached')
  if (isWildcard(parsed.value.host))
    return wrong(`names ${parsed.value.host}, which means "all addresses" and reaches nobody`)
  return right(formatHostPort(parsed.value))
}

/** The same as an origin: `http://host:port`, where `http://` may be left out. */
export function reachableOrigin(text: string): Parsed<string> {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)
  if (scheme !== null && scheme[1]?.toLowerCase() !== 'http') return wrong(`has the scheme ${scheme[1] ?? ''}`)
  const parsed = reachable(text.slice(scheme?.[0].length ?? 0).replace(/\/$/, ''))
  return parsed.ok ? right(`http://${parsed.value}`) : parsed
}

export function formatHostPort(address: HostPort): string {
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host)
}

/** Whether listening on both is bound to fail. */
export function overlap(a: HostPort, b: HostPort): boolean {
  return a.port !== 0 && a.port === b.port && (a.host === b.host || isWildcard(a.host) || isWildcard(b.host))
}

function isHostName(host: string): boolean {
  if (/^[0-9.]+$/.test(host)) {
    const parts = host.split('.')
    return parts.length === 4 && parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)
  }
  const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i
  return (
    host.length <= 253 &&
    host
      .replace(/\.$/, '')
      .split('.')
      .every((part) => label.test(part))
  )
}

function isIpv6(host: string): boolean {
  if (host.includes('%')) return false
  return URL.canParse(`http://[${host}]/`)
}

function within(value: number, min: number, max: number, describe: (value: number) => string): Parsed<number> {
  if (value < min) return wrong(`is below ${describe(min)}`)
  return value > max ? wrong(`is above ${describe(max)}`) : right(value)
}
