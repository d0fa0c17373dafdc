import type { FrameGate } from './frame-splitter.ts'
import type { Frame } from './wire.ts'

/** The reason why a channel was closed. */
export interface CloseReason {
  readonly kind:
    /** The other side closed it in an orderly way. */
    | 'ended'
    /** The operating system reported an error. */
    | 'failed'
    /** Received bytes are not a frame, or the frame does not belong here. */
    | 'malformed'
    /** This side closed it. */
    | 'closed'
  readonly detail: string
}

export interface ChannelEvents {
  /** May close, pause or hand over the channel. Not called while the channel is paused. */
  onFrame(frame: Frame): void
  /** Everything that was queued has been handed to the network, after some of it had to wait. */
  onDrained(): void
  /** Called once, never from within a call to the channel. No other call follows. */
  onClosed(reason: CloseReason): void
}

/** A connection between two nodes that carries whole frames, in order, in both directions. */
export interface Channel {
  /** The address of the other end, for log lines and messages. */
  readonly remote: string
  /** Bytes that were sent but not yet handed to the network. */
  readonly queuedBytes: number
  /** Why the other end may not speak for a peer at this `host:port`; null: it may, or nobody here has to prove who it is. */
  objectionTo(raftAddress: string): string | null
  /** Sets the receiver of this channel's events. What arrives before the first call waits. */
  listen(events: ChannelEvents): void
  /** Frames of more than this many bytes are malformed. */
  acceptFrames(bytesMax: number): void
  /** Sets the gate that is asked for room before a large frame is read. Without room, nothing is read. */
  guard(gate: FrameGate): void
  /** Asks the gate again. */
  recheck(): void
  /** Queues `frame`. Its bodies must not change until `queuedBytes` is 0. Does nothing when the channel is closed. */
  send(frame: Frame): void
  /** Hands over the queued frames now and not at the end of this turn. */
  flush(): void
  /** Stops the delivery of frames. Sooner or later this also stops the other side from writing. */
  pause(): void
  resume(): void
  /** Closes at once; queued frames are lost. `onClosed` follows. */
  close(kind: 'malformed' | 'closed', detail: string): void
  /** Sends the queued frames, then closes; what still arrives is discarded. `onClosed` follows. */
  closeGently(detail: string): void
}

export type DialOutcome =
  | { readonly kind: 'connected'; readonly channel: Channel }
  /** Nobody listens at that address: the kernel of the other machine says so. */
  | { readonly kind: 'refused'; readonly detail: string }
  /** There is no route, no such name, or no answer in time. */
  | { readonly kind: 'failed'; readonly detail: string }

export interface Listener {
  /** The actual `host:port`, for a port that the operating system chose. */
  readonly address: string
  /** Stops accepting connections. Existing channels stay open. */
  close(): Promise<void>
}

/** The origin of channels: TCP, or the memory of one process. */
export interface Network {
  /** Rejects with an error that says what to do when the address cannot be used. */
  listen(address: string, onAccepted: (channel: Channel) => void): Promise<Listener>
  /** Calls `onOutcome` once, never from within this call. Returns a function that cancels; after it, nothing is called. */
  dial(address: string, timeoutMs: number, onOutcome: (outcome: DialOutcome) => void): () => void
}
