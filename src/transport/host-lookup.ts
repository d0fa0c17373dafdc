import { lookup, type LookupAddress, type LookupOptions } from 'node:dns'
import type { LookupFunction } from 'node:net'

/** `dns.lookup` with the option to return all addresses. */
export type Resolve = (
  name: string,
  options: LookupOptions & { readonly all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void
type Waiting = Parameters<Resolve>[2]

/**
 * Resolves host names for sockets, with at most one lookup for each name at a time. When a connection attempt is abandoned, its
 * lookup keeps a thread of the pool for as long as the name servers are silent. The next attempt waits for that lookup and does
 * not add another.
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
