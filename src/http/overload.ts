import type { IncomingMessage, ServerResponse } from 'node:http'
import type { KeyValueAccess } from '../api/services.ts'
import type { RequestError } from '../lib/errors.ts'
import { writesKeys } from './protocol/key-write.ts'

/**
 * Whether there is too much to do for a request that has just arrived: it is refused before its body is read. Only what writes keys is. Everything
 * else is rare, or must go through while the node has too much to do: leases are kept alive, an operator looks for the cause.
 */
export class Overload {
  private readonly keys: Pick<KeyValueAccess, 'overload'>
  /**
   * Writes that were let in and have no answer yet: very many may arrive at once, before the first of them is submitted. Those that wait for
   * others on their connection come one after the other, and do not count.
   */
  private underWay = 0

  constructor(keys: Pick<KeyValueAccess, 'overload'>) {
    this.keys = keys
  }

  /** Why `request` is refused; null: it is let in. `isAlone`: no other request of its connection is open. */
  refuse(request: IncomingMessage, response: ServerResponse, isAlone: boolean): RequestError | null {
    if (!writesKeys(request)) return null
    const refusal = this.keys.overload(this.underWay)
    if (refusal !== null || !isAlone) return refusal
    this.underWay += 1
    response.once('close', () => (this.underWay -= 1))
    return null
  }
}
