import { lookup, Resolver } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import type { SourceDependencies } from './sources.ts'

const RESOLVER_TIMEOUT_MS = 2_000
const RESOLVER_TRIES = 2

/** Names as this machine resolves them, with its hosts file and search domains; services from its name servers. */
export const platformLookups: Pick<SourceDependencies, 'resolveHost' | 'resolveService' | 'readFile'> = {
  resolveHost: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
  resolveService: async (name) => {
    // A resolver of its own for each question: it takes up name servers that have changed.
    const resolver = new Resolver({ timeout: RESOLVER_TIMEOUT_MS, tries: RESOLVER_TRIES })
    return await resolver.resolveSrv(name)
  },
  readFile: async (path) => await readFile(path, 'utf8'),
}
