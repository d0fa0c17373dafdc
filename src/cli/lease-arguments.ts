import { limits } from '../limits.ts'
import { durationMsOf, shown, wholeNumber } from './connection.ts'
import { UsageError } from './terminal.ts'

/** Milliseconds. `name` is for the message. */
export function ttlMsOf(text: string, name: string): number {
  const { ttlMsMin: min, ttlMsMax: max } = limits.lease
  return durationMsOf(text, name, { min, max }, 'a duration from 1s to 720h, such as 10s or 5m')
}

/** The id of a lease: the user's own, or one that the cluster has made. */
export function leaseIdOf(text: string): number {
  const id = /^[0-9]{16}$/.test(text) ? Number(text) : wholeNumber(text, 'the lease', 1)
  if (Number.isSafeInteger(id)) return id
  throw new UsageError(`the lease ${shown(text)}: expected the id of a lease`)
}
