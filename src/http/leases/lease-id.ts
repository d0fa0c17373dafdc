import { isLeaseId } from '../../kv/index.ts'
import { invalidRequest } from '../protocol/query.ts'

const NUMBER = /^[1-9][0-9]{0,15}$/

/** The id of a lease in a path, or the failure that says what is wrong with it. */
export function leaseIdIn(text: string): number {
  const id = NUMBER.test(text) ? Number(text) : Number.NaN
  if (isLeaseId(id)) return id
  throw invalidRequest({ path: 'path/id', message: 'must be the id of a lease: a whole number from 1 on' })
}
