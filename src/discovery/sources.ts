import type { Discovered, Discovery, DiscoverySource } from '../ports/discovery.ts'
import { toError } from '../lib/to-error.ts'

/** What discovery needs of the platform. */
export interface SourceDependencies {
  /** The IP addresses of a host name. */
  readonly resolveHost: (name: string) => Promise<readonly string[]>
  readonly resolveService: (name: string) => Promise<readonly { readonly name: string; readonly port: number }[]>
  readonly readFile: (path: string) => Promise<string>
  /** `host:port` in its canonical form; null when the text is not an address. */
  readonly parseAddress: (text: string) => string | null
  readonly addressesMax: number
}

export function createDiscovery(source: DiscoverySource, dependencies: SourceDependencies): Discovery {
  const { addressesMax } = dependencies
  return {
    lookUp: async () => {
      try {
        return bounded(await lookUp(source, dependencies), addressesMax)
      } catch (error) {
        return {
          addresses: [],
          problem: `${nameOf(source)}: ${toError(error).message}`,
        }
      }
    },
  }
}

function nameOf(source: DiscoverySource): string {
  switch (source.kind) {
    case 'static':
      return 'the list of addresses'
    case 'file':
      return source.path
    case 'dns':
    case 'srv':
      return source.name
  }
}

async function lookUp(source: DiscoverySource, dependencies: SourceDependencies): Promise<Discovered> {
  switch (source.kind) {
    case 'static':
      return { addresses: source.addresses, problem: null }
    case 'dns': {
      const hosts = await dependencies.resolveHost(source.name)
      return { addresses: hosts.map((host) => withPort(host, source.port)), problem: null }
    }
    case 'srv': {
      const records = await dependencies.resolveService(source.name)
      return { addresses: records.map(({ name, port }) => withPort(name.replace(/\.$/, ''), port)), problem: null }
    }
    case 'file':
      return readList(source.path, await dependencies.readFile(source.path), dependencies.parseAddress)
  }
}

/** Reads one address on each line; empty lines and everything after a `#` are skipped. An invalid line does not affect the others. */
function readList(path: string, text: string, parseAddress: SourceDependencies['parseAddress']): Discovered {
  const addresses: string[] = []
  let problem: string | null = null
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    const entry = line.replace(/#.*$/, '').trim()
    if (entry === '') continue
    const address = parseAddress(entry)
    if (address === null) problem ??= `${path}, line ${at + 1}: ${entry.slice(0, 80)} is not of the form HOST:PORT`
    else addresses.push(address)
  }
  return { addresses, problem }
}

function withPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Shortens a list to `max` addresses. Every node drops the same ones. */
function bounded({ addresses, problem }: Discovered, max: number): Discovered {
  const distinct = [...new Set(addresses)].sort()
  if (distinct.length <= max) return { addresses: distinct, problem }
  const excess = `${distinct.length} addresses were found, of which the first ${max} are used`
  return { addresses: distinct.slice(0, max), problem: problem ?? excess }
}
