import { duration } from '../lib/duration.ts'
import { limits } from '../limits.ts'
import { shown, wholeNumber } from './connection.ts'
import { UsageError } from './terminal.ts'

/** Milliseconds. `name` is for the message. */
export function ttlMsOf(text: string, name: string): number {
  const parsed = duration(limits.lease.ttlMsMin, limits.lease.ttlMsMax)(/^[0-9]+$/.test(text) ? `${text}s` : text)
  if (parsed.ok) return parsed.value
  throw new UsageError(
    `${name} ${shown(text)} ${parsed.wrong}; expected a duration from 1s to 720h, such as 10s or 5m, or a whole number of seconds`,
  )
}

/** The id of a lease: the user's own, or one that the cluster has made. */
export function leaseIdOf(text: string): number {
  const id = /^[0-9]{16}$/.test(text) ? Number(text) : wholeNumber(text, 'the lease', 1)
  if (Number.isSafeInteger(id)) return id
  throw new UsageError(`the lease ${shown(text)}: expected the id of a lease`)
}
