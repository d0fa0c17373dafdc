import { within, wrong, type Parser } from './parsed.ts'

/** From the largest to the smallest. */
const units = [
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
  ['B', 1],
] as const

/** `4096`, `512KiB`, `64MiB`, `2GiB`; `[min, max]` in bytes. */
export function size(min: number, max: number): Parser<number> {
  return (text) => {
    const [, amount, name] = /^([0-9]{1,15})(B|KiB|MiB|GiB|)$/.exec(text) ?? []
    const unit = units.find((candidate) => candidate[0] === (name === '' ? 'B' : name))
    if (unit === undefined) return wrong('is not a size (a whole number, or one followed by KiB, MiB or GiB)')
    return within(Number(amount) * unit[1], min, max, describeSize)
  }
}

/** `bytes` in the largest unit that makes it a whole number. */
export function describeSize(bytes: number): string {
  const unit = units.find(([, factor]) => factor > 1 && bytes >= factor && bytes % factor === 0)
  return unit === undefined ? String(bytes) : `${bytes / unit[1]}${unit[0]}`
}

/** `bytes` for people, to a tenth of the unit: `41.5 MiB`. */
export function roughSize(bytes: number): string {
  const [name, factor] = units.find(([, least]) => bytes >= least) ?? ['B', 1]
  const amount = Math.floor((bytes / factor) * 10) / 10
  return `${amount} ${name}`
}
