import { createServer } from 'node:net'
import { hostname } from 'node:os'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from './config/config.ts'
import { formatHostPort, isWildcard, originText, type HostPort } from './lib/host-port.ts'
import type { NodeAddresses } from './raft/index.ts'

/** Replaces port 0 by a port that was free a moment ago: the node has to name its addresses before it listens. */
export async function realPort(address: HostPort): Promise<HostPort> {
  if (address.port !== 0) return address
  const probe = createServer()
  const port = await new Promise<number>((resolve, reject) => {
    probe.once('error', reject)
    probe.listen(0, address.host, () => {
      const bound = probe.address()
      resolve(typeof bound === 'object' && bound !== null ? bound.port : 0)
    })
  })
  await new Promise((resolve) => probe.close(resolve))
  return { host: address.host, port }
}

/** The host under which others reach a listener, unless another one is advertised. */
export function nameOf({ host }: HostPort): string {
  return isWildcard(host) ? hostname() : host
}

/** Where clients and peers reach this node. */
export function advertisedAddresses(
  config: Config,
  listen: { readonly api: HostPort; readonly raft: HostPort },
  logger: Logger,
): NodeAddresses {
  const named = (address: HostPort): string => {
    if (isWildcard(address.host)) {
      logger.warn(
        { listen: formatHostPort(address) },
        'advertising the host name, since the node listens on every address',
      )
    }
    return formatHostPort({ ...address, host: nameOf(address) })
  }
  const api = config.apiAdvertise ?? { scheme: null, address: named(listen.api) }
  return {
    api: originText(api, config.tlsCert === null ? 'http' : 'https'),
    raft: config.raftAdvertise ?? named(listen.raft),
  }
}

const elsewhere =
  'is not an address of this machine: choose one that is with --api, and name the one that clients see with --api-advertise'
const listenReasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use by another process (EADDRINUSE). Stop that process, or choose another address with --api.',
  EADDRNOTAVAIL: `${elsewhere} (EADDRNOTAVAIL).`,
  ENOTFOUND: `${elsewhere} (ENOTFOUND).`,
  EACCES: 'may not be used by this process (EACCES). Choose a port above 1023 with --api.',
}

/** Lets the API listen. Rejects with words for the operator. */
export async function listenFor(app: FastifyInstance, { host, port }: HostPort): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    const reason = listenReasons[code] ?? `cannot be listened on (${code})`
    throw new Error(`The API address ${formatHostPort({ host, port })} ${reason}`, { cause: error })
  }
}
