import type { Server, Socket } from 'node:net'
import type { Clock } from '../ports/clock.ts'
import { sharedLookup } from './host-lookup.ts'
import type { Channel, DialOutcome, Listener, Network } from './channel.ts'
import { AddressError, places } from '../lib/address-error.ts'
import { formatHostPort, parseHostPort } from '../lib/host-port.ts'
import { plainSockets, type FarEnd, type Sockets } from './sockets.ts'
import { TcpChannel } from './tcp-channel.ts'

/** Connections over TCP. */
export class TcpNetwork implements Network {
  private readonly clock: Clock
  private readonly sockets: Sockets
  private readonly lookup = sharedLookup()

  constructor(clock: Clock, sockets: Sockets = plainSockets) {
    this.clock = clock
    this.sockets = sockets
  }

  listen(address: string, onAccepted: (channel: Channel) => void): Promise<Listener> {
    const target = parseHostPort(address)
    if (target === null) return Promise.reject(new Error(`The peer address ${address} is not of the form host:port`))
    const server = this.sockets.createServer((socket, farEnd) => {
      onAccepted(this.channelOf(socket, farEnd))
    })
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => {
        reject(new AddressError(places.raft, address, error))
      }
      server.once('error', onError)
      server.listen(target.port, target.host, () => {
        server.off('error', onError)
        // A single failed accept (for example for lack of file descriptors) leaves the server working.
        server.on('error', () => undefined)
        resolve({ address: addressOf(server, target.host), close: () => closeServer(server) })
      })
    })
  }

  dial(address: string, timeoutMs: number, onOutcome: (outcome: DialOutcome) => void): () => void {
    const target = parseHostPort(address)
    if (target === null) {
      return this.clock.after(0, () => onOutcome({ kind: 'failed', detail: `${address} is not of the form host:port` }))
    }
    const { sockets } = this
    const { socket, event } = sockets.dial({ ...target, lookup: this.lookup })
    const settle = (outcome: DialOutcome): void => {
      cancelTimeout()
      socket.off(event, onConnect)
      socket.off('error', onError)
      // An abandoned attempt may still report an error.
      if (outcome.kind !== 'connected') socket.on('error', () => undefined).destroy()
      onOutcome(outcome)
    }
    const onConnect = (): void => {
      sockets.onDialled(address, null)
      settle({ kind: 'connected', channel: this.channelOf(socket, sockets.farEndOf(socket)) })
    }
    const onError = (error: NodeJS.ErrnoException): void => {
      sockets.onDialled(address, error)
      settle({ kind: isRefused(error) ? 'refused' : 'failed', detail: sockets.farEndOf(socket).describe(error) })
    }
    const cancelTimeout = this.clock.after(timeoutMs, () => {
      settle({ kind: 'failed', detail: `${address} did not answer within ${timeoutMs} ms` })
    })
    socket.once(event, onConnect)
    socket.once('error', onError)
    return () => {
      cancelTimeout()
      socket.off(event, onConnect)
      socket.off('error', onError)
      socket.on('error', () => undefined).destroy()
    }
  }

  private channelOf(socket: Socket, farEnd: FarEnd): TcpChannel {
    return new TcpChannel(socket, this.clock, farEnd)
  }
}

/** A name may stand for several addresses. Nobody is there only when every one of them refuses. */
function isRefused(error: NodeJS.ErrnoException): boolean {
  if (error instanceof AggregateError) {
    return error.errors.every((each: unknown) => each instanceof Error && isRefused(each))
  }
  return error.code === 'ECONNREFUSED'
}

function addressOf(server: Server, host: string): string {
  const bound = server.address()
  if (bound === null || typeof bound === 'string') return host
  return formatHostPort({ host, port: bound.port })
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}
