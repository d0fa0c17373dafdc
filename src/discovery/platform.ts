import { lookup, Resolver } from 'node:dns/promises'
import type { SourceDependencies } from './sources.ts'

const RESOLVER_TIMEOUT_MS = 2_000
const RESOLVER_TRIES = 2

/** Host names are resolved as on this machine, with its hosts file and search domains; services by its name servers. */
export const platformLookups: Pick<SourceDependencies, 'resolveHost' | 'resolveService'> = {
  resolveHost: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
  resolveService: async (name) => {
    // Each question gets a new resolver, which picks up changed name servers.
    const resolver = new Resolver({ timeout: RESOLVER_TIMEOUT_MS, tries: RESOLVER_TRIES })
    return await resolver.resolveSrv(name)
  },
}
