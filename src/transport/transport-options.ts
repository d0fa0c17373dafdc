import type { Random } from '../lib/random.ts'
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
  | 'peerConnectionsMax'
  | 'peerPingIntervalMs'
  | 'peerPingTimeoutMs'
  | 'peerSilenceMsMax'
  | 'strangerSilenceMsMax'
  | 'incomingFramesBytesMax'
  | 'snapshotStallTimeoutMs'
  | 'snapshotUnreadBytesMax'
  | 'snapshotInstallTimeoutMs'

/** The maxima of `limits.ts` that concern connections between nodes. */
export type TransportLimits = { readonly [name in Limit & keyof typeof limits]: number }

/** What the transport has to say to people. Fits pino. */
export interface TransportLogger {
  debug(fields: object, event: string): void
  info(fields: object, event: string): void
  warn(fields: object, event: string): void
}

export interface TransportOptions {
  readonly id: NodeId
  /** `host:port` for connections of peers; port 0 for any. */
  readonly listen: string
  /** Replaces some maxima. */
  readonly limits?: Partial<TransportLimits>
}

export interface TransportDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly logger?: TransportLogger
}

/** What the parts of one transport share. */
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
