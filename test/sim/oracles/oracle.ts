import type { Node } from '../../../src/node/node.ts'
import type { LogWrite } from '../../../src/ports/log-store.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import type { LogId } from '../../../src/raft/index.ts'
import type { StateImage } from '../disk/state-disk.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Machine } from '../machines/machine.ts'

/** Watches a run and throws a `Violation` at the first thing that must not happen. Otherwise it has no effect. */
export interface Oracle {
  /** A write was submitted to the log of `machine`; before it, the log ended with `last`. */
  onSubmit?(machine: Machine, write: LogWrite, last: LogId | null): void
  /** A write of the log has become durable. */
  onDurable?(machine: Machine, write: LogWrite): void
  /** A message is about to leave. */
  onSend?(machine: Machine, message: PeerMessage): void
  onStep?(machine: Machine, step: CoreStep): void
  /** The state store shows `image` from now on. */
  onState?(machine: Machine, image: StateImage): void
  onStart?(machine: Machine): void
  /** The node has read its disks. */
  onOpen?(machine: Machine, node: Node): void
  /** The data directory was lost. Promises that the machine made before do not bind the new node. */
  onWipe?(machine: Machine): void
}
