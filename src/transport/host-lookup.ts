import { lookup, type LookupAddress, type LookupOptions } from 'node:dns'
import type { LookupFunction } from 'node:net'

/** `dns.lookup`, asked for all addresses. */
export type Resolve = (
  name: string,
  options: LookupOptions & { readonly all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void
type Waiting = Parameters<Resolve>[2]

/**
 * Looks host names up for sockets, each name once at a time. An attempt to connect that is given up leaves its lookup behind, in a
 * thread of the pool for as long as the name servers are silent; the next attempt waits for that one instead of adding another.
 */
export function sharedLookup(resolve: Resolve = lookup): LookupFunction {
  const underWay = new Map<string, Waiting[]>()
  return (name, options, callback) => {
    const answer: Waiting = (error, addresses) => {
      const [first] = addresses
      if (error !== null || first === undefined) callback(error ?? new Error(`${name} has no address`), [])
      else if (options.all === true) callback(null, addresses)
      else callback(null, first.address, first.family)
    }
    const key = `${name} ${options.family ?? 0} ${options.hints ?? 0}`
    const waiting = underWay.get(key)
    if (waiting !== undefined) {
      waiting.push(answer)
      return
    }
    const all = [answer]
    underWay.set(key, all)
    resolve(name, { ...options, all: true }, (error, addresses) => {
      underWay.delete(key)
      for (const each of all) each(error, addresses ?? [])
    })
  }
}
