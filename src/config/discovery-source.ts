import { hostPort, reachable } from '../lib/host-port.ts'
import { right, wrong, type Parsed } from '../lib/parsed.ts'
import { limits } from '../limits.ts'
import type { DiscoverySource } from '../ports/discovery.ts'
import type { Values } from './setting.ts'
import { path } from './values.ts'

type SourceParser = (rest: string) => Parsed<DiscoverySource>

/** What stands before the first colon, and how the rest is read. */
const kinds: { readonly [Kind in DiscoverySource['kind']]: SourceParser } = {
  static: parseStatic,
  dns: parseDns,
  srv: parseService,
  file: parseFile,
}

export const discoverySources: Values<DiscoverySource> = {
  allowed: 'static:HOST:PORT,HOST:PORT,... or dns:NAME:PORT or srv:NAME or file:PATH',
  parse: (text) => {
    const [kind, parse] = Object.entries(kinds).find(([name]) => text.startsWith(`${name}:`)) ?? []
    if (kind === undefined || parse === undefined) {
      return wrong('does not begin with static, dns, srv or file and a colon')
    }
    return parse(text.slice(kind.length + 1))
  },
}

function parseStatic(list: string): Parsed<DiscoverySource> {
  const addresses: string[] = []
  for (const entry of list.split(',').map((part) => part.trim())) {
    const parsed = reachable(entry)
    if (!parsed.ok) return wrong(`lists ${entry === '' ? 'nothing' : entry}, which ${parsed.wrong}`)
    if (addresses.includes(parsed.value)) return wrong(`lists ${parsed.value} twice`)
    addresses.push(parsed.value)
  }
  if (addresses.length > limits.membersMax) {
    return wrong(`lists ${addresses.length} addresses, more than ${limits.membersMax}`)
  }
  return right({ kind: 'static', addresses })
}

function parseDns(text: string): Parsed<DiscoverySource> {
  const parsed = hostPort(text)
  if (!parsed.ok) return parsed
  const { host, port } = parsed.value
  return port === 0 ? wrong('names port 0, which cannot be reached') : right({ kind: 'dns', name: host, port })
}

/** A service has no port. Its name must follow the same rules as any other host name. */
function parseService(name: string): Parsed<DiscoverySource> {
  const parsed = hostPort(`${name}:1`)
  const isName = parsed.ok && !parsed.value.host.includes(':')
  return isName ? right({ kind: 'srv', name: parsed.value.host }) : wrong('does not name a service')
}

function parseFile(text: string): Parsed<DiscoverySource> {
  const parsed = path(text)
  return parsed.ok ? right({ kind: 'file', path: parsed.value }) : parsed
}
