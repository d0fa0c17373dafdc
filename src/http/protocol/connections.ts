import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { endWithProblem } from './raw-failure.ts'
import type { RequestCounts } from './request-counts.ts'

export interface ConnectionsOptions {
  /** Connections that may be open at once. */
  readonly max: number
  /** A connection may be closed for another one after it has been idle this long. */
  readonly idleMsMin: number
}

export const connectionsDefaults: ConnectionsOptions = {
  max: limits.httpConnectionsMax,
  idleMsMin: limits.httpIdleMsMin,
}

export interface ConnectionsDependencies {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Reports the connections refused since the last call. Called at most once in `limits.httpRefusalReportMs`. */
  readonly onRefused: (refused: number) => void
  readonly counts: Pick<RequestCounts, 'onUnread'>
}

/**
 * The connections of clients, up to a maximum. For a new connection the one that was idle longest is closed; a client with
 * persistent connections must expect this at any time. When all are busy, the new one is refused with an answer that says so.
 */
export class Connections {
  private readonly options: ConnectionsOptions
  private readonly dependencies: ConnectionsDependencies
  /** Each with its requests in progress: more than one when they are pipelined. */
  private readonly served = new Map<Socket, { requests: number }>()
  /** Connections without a request in progress, and since when; the longest idle comes first. */
  private readonly idleSince = new Map<Socket, number>()
  /** Connections that are being told that there are too many. */
  private refusing = 0
  private refused = 0
  private reportedAt = Number.NEGATIVE_INFINITY

  constructor(options: ConnectionsOptions, dependencies: ConnectionsDependencies) {
    this.options = options
    this.dependencies = dependencies
  }

  onConnection(socket: Socket): void {
    if (this.hasRoom()) this.serve(socket)
    else this.refuse(socket)
  }

  /** A connection whose TLS is still to be agreed on takes a place as well. It cannot be told anything, so without a place it is closed. */
  admitUnsecured(raw: Socket): boolean {
    const isAdmitted = this.hasRoom()
    if (isAdmitted) this.serve(raw)
    else {
      raw.destroy()
      this.countRefused()
    }
    return isAdmitted
  }

  /** From now on `secured` stands for `raw`, which carries it. */
  onSecured(secured: Socket, raw: Socket): void {
    if (!this.served.delete(raw)) return
    this.idleSince.delete(raw)
    this.serve(secured)
  }

  /** Answers a connection that is not served, and ends it. */
  endWith(socket: Socket, error: RequestError): void {
    this.served.delete(socket)
    this.idleSince.delete(socket)
    if (this.refusing < limits.httpRefusalsMax) this.tell(socket, error)
    else socket.destroy()
  }

  private hasRoom(): boolean {
    return this.served.size < this.options.max || this.closeIdle()
  }

  private serve(socket: Socket): void {
    this.served.set(socket, { requests: 0 })
    this.idleSince.set(socket, this.dependencies.now())
    socket.once('close', () => {
      this.served.delete(socket)
      this.idleSince.delete(socket)
    })
  }

  /** Whether the request shall be answered. */
  onRequest({ socket }: IncomingMessage, response: ServerResponse): boolean {
    const connection = this.served.get(socket)
    if (connection === undefined) return false
    if (connection.requests === 0) this.idleSince.delete(socket)
    connection.requests += 1
    response.once('close', () => this.onAnswered(socket))
    return true
  }

  private onAnswered(socket: Socket): void {
    const connection = this.served.get(socket)
    if (connection === undefined) return
    connection.requests -= 1
    if (connection.requests === 0) this.idleSince.set(socket, this.dependencies.now())
  }

  private closeIdle(): boolean {
    for (const [socket, since] of this.idleSince) {
      // A client that has just connected, or has just had its answer, is about to send something.
      if (this.dependencies.now() - since < this.options.idleMsMin) return false
      this.served.delete(socket)
      this.idleSince.delete(socket)
      socket.destroy()
      return true
    }
    return false
  }

  private refuse(socket: Socket): void {
    const { max } = this.options
    this.endWith(
      socket,
      new RequestError('overloaded', `this node serves at most ${max} connections at once; try again later`),
    )
    this.countRefused()
  }

  private countRefused(): void {
    this.refused += 1
    const now = this.dependencies.now()
    if (now - this.reportedAt < limits.httpRefusalReportMs) return
    this.reportedAt = now
    this.dependencies.onRefused(this.refused)
    this.refused = 0
  }

  private tell(socket: Socket, error: RequestError): void {
    this.dependencies.counts.onUnread(endWithProblem(socket, error))
    // Reads on until the client has the answer and closes. Closing with unread bytes would reset the connection, and the answer
    // would be lost.
    const cut = setTimeout(() => socket.destroy(), limits.httpRefusalMsMax)
    this.refusing += 1
    socket.once('close', () => {
      clearTimeout(cut)
      this.refusing -= 1
    })
  }
}
