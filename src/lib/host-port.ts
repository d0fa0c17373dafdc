import { right, wrong, type Parsed } from './parsed.ts'

const PORT_MAX = 65_535

/** Where to listen. `host` is without brackets. Port 0: any free port. */
export interface HostPort {
  readonly host: string
  readonly port: number
}

/** Splits the text into host and port as written, the host without brackets. Neither is checked. Null: the text has another form. */
function split(text: string): HostPort | null {
  const match = /^(?:\[([^\][]*)\]|([^:\][]*)):([0-9]{1,5})$/.exec(text)
  return match === null ? null : { host: match[1] ?? match[2] ?? '', port: Number(match[3]) }
}

/** Splits an address that was checked when it came in. Null when it is not an address; the host may have any name. */
export function parseHostPort(address: string): HostPort | null {
  const parts = split(address)
  return parts === null || !/^[^\s/]+$/.test(parts.host) || parts.port > PORT_MAX ? null : parts
}

/** `host:port`, with an IPv6 address in brackets. */
export function hostPort(text: string): Parsed<HostPort> {
  const parts = split(text)
  if (parts === null) {
    if (/^[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(text))
      return wrong('is an IPv6 address without brackets or a port')
    return wrong('is not of the form HOST:PORT')
  }
  const { host, port } = parts
  if (port > PORT_MAX) return wrong(`names port ${port}, above ${PORT_MAX}`)
  if (host === '') return wrong('names no host')
  if (text.startsWith('[') ? !isIpv6(host) : !isHostName(host))
    return wrong(`names the host ${host}, which is not a valid name or address`)
  return right({ host: host.toLowerCase(), port })
}

/** Where others reach this node: a real port and not a wildcard. Returns the canonical text. */
export function reachable(text: string): Parsed<string> {
  const parsed = hostPort(text)
  if (!parsed.ok) return parsed
  if (parsed.value.port === 0) return wrong('names port 0, which cannot be reached')
  if (isWildcard(parsed.value.host))
    return wrong(`names ${parsed.value.host}, which means "all addresses" and cannot be reached`)
  return right(formatHostPort(parsed.value))
}

export type Scheme = 'http' | 'https'

/** Where clients reach a node. `address` is `host:port`. */
export interface Origin {
  /** Null: it is left out. */
  readonly scheme: Scheme | null
  readonly address: string
}

/** The same for an origin: `http://host:port` or `https://host:port`, where the scheme may be left out. */
export function reachableOrigin(text: string): Parsed<Origin> {
  const [start = '', given] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text) ?? []
  const scheme = given?.toLowerCase()
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') return wrong(`has the scheme ${given ?? ''}`)
  const parsed = reachable(text.slice(start.length).replace(/\/$/, ''))
  return parsed.ok ? right({ scheme: scheme ?? null, address: parsed.value }) : parsed
}

/** The origin as text, with the scheme that it has left out. */
export function originText({ scheme, address }: Origin, otherwise: Scheme): string {
  return `${scheme ?? otherwise}://${address}`
}

/** Where clients reach a member: `http://host:port`, or `https` where the node, or a proxy in front of it, speaks that. No path. */
export function memberOrigin(text: string): Parsed<string> {
  const [scheme] = /^https?:\/\//.exec(text) ?? []
  if (scheme === undefined) return wrong('is not of the form http://HOST:PORT')
  const parsed = reachable(text.slice(scheme.length))
  return parsed.ok ? right(`${scheme}${parsed.value}`) : parsed
}

export function formatHostPort(address: HostPort): string {
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

/** Recognises every notation that a resolver takes for "all addresses", such as `0x0` and `::ffff:0.0.0.0`. `host` is without brackets. */
export function isWildcard(host: string): boolean {
  const url = `http://${host.includes(':') ? `[${host}]` : host}/`
  return URL.canParse(url) && wildcards.has(new URL(url).hostname)
}

const wildcards: ReadonlySet<string> = new Set(['0.0.0.0', '[::]', '[::ffff:0:0]'])

/** Whether listening on both addresses is bound to fail. */
export function overlap(a: HostPort, b: HostPort): boolean {
  return a.port !== 0 && a.port === b.port && (a.host === b.host || isWildcard(a.host) || isWildcard(b.host))
}

function isHostName(host: string): boolean {
  if (/^[0-9.]+$/.test(host)) {
    const parts = host.split('.')
    return parts.length === 4 && parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)
  }
  const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i
  return (
    host.length <= 253 &&
    host
      .replace(/\.$/, '')
      .split('.')
      .every((part) => label.test(part))
  )
}

function isIpv6(host: string): boolean {
  if (host.includes('%')) return false
  return URL.canParse(`http://[${host}]/`)
}
