import type { IncomingMessage } from 'node:http'
import type { KeyValueAccess } from '../api/services.ts'
import type { RequestError } from '../lib/errors.ts'
import { isSafeMethod } from './protocol/safe-method.ts'

const KEYS = /^\/kv(?:[/?]|$)/
const TRANSACTIONS = /^\/txn(?:\?|$)/

/**
 * Why a request that has just arrived is refused before its body is read; null: it is not. Only what writes keys is refused so early. Everything
 * else is rare, or must go through while the node has too much to do: leases are kept alive, an operator looks for the cause.
 */
export function overloadOf(request: IncomingMessage, keys: Pick<KeyValueAccess, 'overload'>): RequestError | null {
  return writesKeys(request) ? keys.overload() : null
}

function writesKeys({ method, url = '' }: IncomingMessage): boolean {
  if (isSafeMethod(method)) return false
  // An import waits by itself until there is room.
  return method === 'POST' ? TRANSACTIONS.test(url) : KEYS.test(url)
}
