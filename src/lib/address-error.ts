/** One of the two addresses at which a node listens, in the words of its settings. */
export interface Place {
  readonly name: string
  readonly flag: string
  /** Those who connect to it. */
  readonly visitors: string
}

export const places = {
  api: { name: 'API', flag: '--api', visitors: 'clients' },
  raft: { name: 'peer', flag: '--raft', visitors: 'peers' },
} as const satisfies Record<string, Place>

/** An interface that is not up yet, a name that cannot be looked up yet: while a machine starts, the next attempt may succeed. */
const passingCodes: readonly string[] = ['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN']

/** A node cannot listen at one of its addresses. The message says what to do. */
export class AddressError extends Error {
  override readonly name = 'AddressError'
  /** Whether it may pass by itself. */
  readonly mayPass: boolean

  constructor(place: Place, address: string, cause: unknown) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    super(`The ${place.name} address ${address} ${reasonOf(place, code, cause)}`, { cause })
    this.mayPass = passingCodes.includes(code)
  }
}

function reasonOf({ flag, visitors }: Place, code: string, cause: unknown): string {
  const other = `choose one that is with ${flag}, and name the one that ${visitors} see with ${flag}-advertise`
  switch (code) {
    case 'EADDRINUSE':
      return `is in use by another process (${code}). Stop that process, or choose another address with ${flag}.`
    case 'EADDRNOTAVAIL':
      return `is not an address of this machine: ${other} (${code}).`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `has a name that cannot be looked up: see to its entry or to the name server, or choose an address with ${flag} (${code}).`
    case 'EACCES':
      return `may not be used by this process (${code}). Choose a port above 1023 with ${flag}.`
    default:
      return `cannot be listened on: ${cause instanceof Error && cause.message !== '' ? cause.message : code}`
  }
}
