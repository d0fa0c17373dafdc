import type { FrameGate } from './frame-splitter.ts'
import type { Frame } from './wire.ts'

/** Why a channel is closed. */
export interface CloseReason {
  readonly kind:
    /** The other side closed it in an orderly way. */
    | 'ended'
    /** The operating system reports an error. */
    | 'failed'
    /** What came is not a frame, or not one that belongs here. */
    | 'malformed'
    /** This side closed it. */
    | 'closed'
  readonly detail: string
}

export interface ChannelEvents {
  /** May close, pause or hand over the channel. Not called while the channel is paused. */
  onFrame(frame: Frame): void
  /** All that was queued has been handed to the network, after some had to wait. */
  onDrained(): void
  /** Called once, never from within a call to the channel. Nothing follows. */
  onClosed(reason: CloseReason): void
}

/** A connection between two nodes that carries whole frames, in order, in both directions. */
export interface Channel {
  /** The other end, for people. */
  readonly remote: string
  /** Bytes that were sent and are not in the hands of the network yet. */
  readonly queuedBytes: number
  /** Sets who hears of this channel from now on. What arrives before the first call waits. */
  listen(events: ChannelEvents): void
  /** Frames of more than this many bytes are malformed. */
  acceptFrames(bytesMax: number): void
  /** Sets who is asked before room is made for a large frame that is still arriving. While it has none, nothing is read. */
  guard(gate: FrameGate): void
  /** Asks for that room again. */
  recheck(): void
  /** Queues `frame`. Its bodies must not change until `queuedBytes` is 0. Does nothing when the channel is closed. */
  send(frame: Frame): void
  /** Hands over what is queued now rather than at the end of this turn. */
  flush(): void
  /** Stops the delivery of frames, and with it, sooner or later, the other side's writing. */
  pause(): void
  resume(): void
  /** Closes at once. What is queued is lost. `onClosed` follows. */
  close(kind: 'malformed' | 'closed', detail: string): void
  /** Sends what is queued, then closes; what still arrives is thrown away. `onClosed` follows. */
  closeGently(detail: string): void
}

export type DialOutcome =
  | { readonly kind: 'connected'; readonly channel: Channel }
  /** Nobody listens at that address: the kernel there says so. */
  | { readonly kind: 'refused'; readonly detail: string }
  /** No route, no such name, no answer in time. */
  | { readonly kind: 'failed'; readonly detail: string }

export interface Listener {
  /** `host:port` as it really is, for a port that was chosen by the operating system. */
  readonly address: string
  /** Accepts nothing any more. Channels stay. */
  close(): Promise<void>
}

/** Where channels come from: TCP, or the memory of one process. */
export interface Network {
  /** Rejects with an error that says what to do when the address cannot be had. */
  listen(address: string, onAccepted: (channel: Channel) => void): Promise<Listener>
  /** Calls `onOutcome` once, never from within this call. Returns a function that gives up, after which nothing is called. */
  dial(address: string, timeoutMs: number, onOutcome: (outcome: DialOutcome) => void): () => void
}
