const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium', hourCycle: 'h23' })

/** `12,345`. */
export function count(value: number): string {
  return grouped.format(value)
}

/** `1 node`, `2 nodes`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** `1.5 MiB`. */
export function bytes(value: number): string {
  let [size, at] = [value, 0]
  while (size >= 1024 && at < BINARY.length - 1) [size, at] = [size / 1024, at + 1]
  return `${at === 0 ? count(size) : threeDigits(size)} ${BINARY[at] ?? ''}`
}

/** A rate or a size without a unit: `950`, `1.25k`, `3.1M`. */
export function compact(value: number): string {
  const units = ['', 'k', 'M', 'G']
  let [size, at] = [value, 0]
  while (size >= 1000 && at < units.length - 1) [size, at] = [size / 1000, at + 1]
  return `${threeDigits(size)}${units[at] ?? ''}`
}

/** A duration: `850 µs`, `12 ms`, `3.2 s`, `4 min`, `2 h 5 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 1) return `${threeDigits(ms * 1000)} µs`
  if (ms < 1000) return `${threeDigits(ms)} ms`
  const seconds = ms / 1000
  if (seconds < 60) return `${threeDigits(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return twoUnits(minutes, 'min', Math.floor(seconds % 60), 's')
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return twoUnits(hours, 'h', minutes % 60, 'min')
  return twoUnits(Math.floor(hours / 24), 'd', hours % 24, 'h')
}

/** The time of day, of milliseconds since 1970. */
export function timeOfDay(at: number): string {
  return clock.format(at)
}

/** `1, 2 and 3`. */
export function list(words: readonly (string | number)[]): string {
  if (words.length < 2) return words.join('')
  return `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''}`
}

/** `node 3`, `nodes 1, 2 and 3`. */
export function nodes(ids: readonly number[]): string {
  return `${ids.length === 1 ? 'node' : 'nodes'} ${list(ids)}`
}

function threeDigits(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2
  return String(Number(value.toFixed(digits)))
}

function twoUnits(large: number, largeName: string, small: number, smallName: string): string {
  return small === 0 ? `${large} ${largeName}` : `${large} ${largeName} ${small} ${smallName}`
}
