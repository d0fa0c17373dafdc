import type { Random } from '../lib/random.ts'
import type { LogFields } from '../lib/log-fields.ts'
import type { limits } from '../limits.ts'
import type { Clock } from '../ports/clock.ts'
import type { NodeId } from '../raft/index.ts'

type Limit =
  | 'peerQueueBytesMax'
  | 'peerEarlyMessagesMax'
  | 'peerEarlyBytesMax'
  | 'handshakeTimeoutMs'
  | 'connectTimeoutMs'
  | 'reconnectDelayMsMin'
  | 'reconnectDelayMsMax'
  | 'doubleDialDelayMsMax'
  | 'peerConnectionsMax'
  | 'peerPingIntervalMs'
  | 'peerPingTimeoutMs'
  | 'peerSilenceMsMax'
  | 'strangerSilenceMsMax'
  | 'incomingFramesBytesMax'
  | 'snapshotStallTimeoutMs'
  | 'snapshotUnreadBytesMax'
  | 'snapshotInstallTimeoutMs'

/** The maxima of `limits.ts` that apply to connections between nodes. */
export type TransportLimits = { readonly [name in Limit & keyof typeof limits]: number }

/** The log of the transport. pino fits it. */
export interface TransportLogger {
  debug(fields: LogFields, event: string): void
  info(fields: LogFields, event: string): void
  warn(fields: LogFields, event: string): void
}

export interface TransportOptions {
  readonly id: NodeId
  /** `host:port` for connections of peers; with port 0 any port. */
  readonly listen: string
  /** Replaces some of the maxima. */
  readonly limits?: Partial<TransportLimits>
}

export interface TransportDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly logger?: TransportLogger
}

/** Objects that all parts of one transport share. */
export interface TransportContext {
  readonly id: NodeId
  readonly limits: TransportLimits
  readonly clock: Clock
  readonly random: Random
  readonly logger: TransportLogger
}

export const silentLogger: TransportLogger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
}
