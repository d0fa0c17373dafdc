export interface HostPort {
  readonly host: string
  readonly port: number
}

/** Takes `host:port` or `[IPv6 address]:port` apart; null when it is neither. Port 0 is allowed: "any". */
export function parseHostPort(address: string): HostPort | null {
  const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(address)
  if (match === null) return null
  const host = match[1] ?? match[2] ?? ''
  const port = Number(match[3])
  return port > 65_535 ? null : { host, port }
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
