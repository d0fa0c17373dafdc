import type { LogWrite } from '../../../src/ports/log-store.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import type { LogId } from '../../../src/raft/index.ts'
import type { StateImage } from '../disk/state-disk.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Machine } from '../machines/machine.ts'

/** Watches a run and throws a `Violation` at the first thing that must not be. Says nothing otherwise and changes nothing. */
export interface Oracle {
  /** A write was handed to the log of `machine`, whose log ended with `last` before it. */
  onSubmit?(machine: Machine, write: LogWrite, last: LogId | null): void
  /** A write of the log has reached the platter. */
  onDurable?(machine: Machine, write: LogWrite): void
  /** A message is about to leave. */
  onSend?(machine: Machine, message: PeerMessage): void
  onStep?(machine: Machine, step: CoreStep): void
  /** The state store shows `image` from now on. */
  onState?(machine: Machine, image: StateImage): void
  onStart?(machine: Machine): void
  /** The data directory was lost: what the machine promised before does not bind the new one. */
  onWipe?(machine: Machine): void
}
