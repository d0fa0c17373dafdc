import { connect, createServer, type LookupFunction, type Server, type Socket } from 'node:net'
import type { HostPort } from '../lib/host-port.ts'

/** What is known of the other end of a socket beside its bytes. */
export interface FarEnd {
  /** What an error of the socket means, in words. */
  readonly describe: (error: NodeJS.ErrnoException) => string
  /** Why the other end may not speak for a peer at this `host:port`; null: it may. */
  readonly objectionTo: (raftAddress: string) => string | null
}

export interface DialTarget extends HostPort {
  readonly lookup: LookupFunction
}

/** How the sockets of a network come to be: as they are, or with TLS. */
export interface Sockets {
  /** `onSocket` gets each socket that may be read. */
  createServer(onSocket: (socket: Socket, farEnd: FarEnd) => void): Server
  /** The socket can be used once it has emitted `event`. */
  dial(target: DialTarget): { readonly socket: Socket; readonly event: 'connect' | 'secureConnect' }
  /** What is known of the other end of a dialled socket. */
  farEndOf(socket: Socket): FarEnd
  /** How it went at `address`; null: well. */
  onDialled(address: string, error: NodeJS.ErrnoException | null): void
}

const KEEP_ALIVE_DELAY_MS = 10_000

export const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS }

export function describeError(error: NodeJS.ErrnoException): string {
  if (error.message !== '') return error.message
  return error.code ?? error.name
}

const nothingProven: FarEnd = { describe: describeError, objectionTo: () => null }

/** Sockets as they are. Nobody proves who it is. */
export const plainSockets: Sockets = {
  createServer: (onSocket) => createServer(socketOptions, (socket) => onSocket(socket, nothingProven)),
  dial: (target) => ({ socket: connect({ ...target, ...socketOptions }), event: 'connect' }),
  farEndOf: () => nothingProven,
  onDialled: () => undefined,
}
