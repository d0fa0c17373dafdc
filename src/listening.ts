import { createServer } from 'node:net'
import { hostname } from 'node:os'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from './config/config.ts'
import { AddressError, places, type Place } from './lib/address-error.ts'
import { formatHostPort, isWildcard, originText, type HostPort } from './lib/host-port.ts'
import type { NodeAddresses } from './raft/index.ts'

/** Replaces port 0 by a port that was free a moment ago: the node has to name its addresses before it listens. Rejects with `AddressError`. */
export async function realPort(place: Place, address: HostPort): Promise<HostPort> {
  if (address.port !== 0) return address
  const probe = createServer()
  const port = await new Promise<number>((resolve, reject) => {
    probe.once('error', (error) => reject(new AddressError(place, formatHostPort(address), error)))
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

/** Lets the API listen. Rejects with `AddressError`. */
export async function listenFor(app: FastifyInstance, { host, port }: HostPort): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (error) {
    throw new AddressError(places.api, formatHostPort({ host, port }), error)
  }
}
