import type { IncomingMessage } from 'node:http'
import { isSafeMethod } from './safe-method.ts'

type Asked = Pick<IncomingMessage, 'method' | 'url'>

const KEYS = /^\/kv(?:[/?]|$)/
const TRANSACTIONS = /^\/txn(?:\?|$)/
const HOLDS = /^\/(?:leases|locks)(?:[/?]|$)/

/** Whether a request writes keys, so that it is refused while there is too much to do. An import waits by itself until there is room. */
export function writesKeys({ method, url = '' }: Asked): boolean {
  if (isSafeMethod(method)) return false
  return method === 'POST' ? TRANSACTIONS.test(url) : KEYS.test(url)
}

/** Whether a request grants, keeps or ends a lease or a lock: more of them may follow, and must not come late. */
export function keepsHold({ method, url = '' }: Asked): boolean {
  return !isSafeMethod(method) && HOLDS.test(url)
}
