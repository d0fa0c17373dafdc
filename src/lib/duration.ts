import { right, within, wrong, type Parser } from './parsed.ts'

/** From the largest to the smallest. */
const units = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const

/** `500ms`, `30s`, `5m`, `24h`. The unit is required, so that seconds are never mistaken for milliseconds. `[min, max]` in milliseconds. */
export function duration(min: number, max: number): Parser<number> {
  return (text) => {
    const ms = durationMs(text)
    return ms === null
      ? wrong('is not a duration (a number followed by ms, s, m or h)')
      : within(ms, min, max, describeDuration)
  }
}

function durationMs(text: string): number | null {
  const [, amount, unit] = /^([0-9]{1,9})(ms|s|m|h)$/.exec(text) ?? []
  return unit === undefined ? null : Number(amount) * msPer(unit)
}

/** NaN when `unit` is not a unit. */
export function msPer(unit: string): number {
  return units.find(([name]) => name === unit)?.[1] ?? Number.NaN
}

/** `ms` in the largest unit that makes it a whole number. */
export function describeDuration(ms: number): string {
  const unit = units.find(([, factor]) => ms >= factor && ms % factor === 0)
  return unit === undefined ? `${ms}ms` : `${ms / unit[1]}${unit[0]}`
}

export interface DurationRange {
  readonly min: number
  readonly max: number
}

/** `300ms-600ms`: both ends are in `[min, max]`, and the first is below the second. */
export function durationRange(min: number, max: number): Parser<DurationRange> {
  return (text) => {
    const ends = text.split('-').map(durationMs)
    const [from, to] = ends
    if (ends.length !== 2 || from === undefined || to === undefined || from === null || to === null) {
      return wrong('is not two durations separated by a dash')
    }
    if (from >= to)
      return wrong(
        'is not a range from a lower to a higher duration: without one, timeouts and elections would collide',
      )
    for (const end of [from, to]) {
      const checked = within(end, min, max, describeDuration)
      if (!checked.ok) return checked
    }
    return right({ min: from, max: to })
  }
}
