import type { StateMeta } from '../codec/state-meta.ts'
import { decodeStateMeta } from '../codec/state-meta.ts'
import { StateStreamError, type StateReceiver } from './state-stream.ts'

/** The meta of a state that has arrived whole, and fits its rows. Throws `StateStreamError`, or `UnreadableStateError`. */
export function metaOfReceived(receiver: StateReceiver, idempotentWritesMax: number): StateMeta {
  const meta = decodeStateMeta(receiver.finish())
  if (meta === null) throw new StateStreamError('the meta is of a version that this build does not know')
  const { applied, membership, machine } = meta
  if (membership.logId === null || membership.membership.configs.length === 0) {
    throw new StateStreamError('the meta names no members')
  }
  if (membership.logId.index > applied.index || machine.revision > applied.index) {
    throw new StateStreamError('the meta refers to entries beyond its own')
  }
  receiver.received.finish(machine, idempotentWritesMax)
  return meta
}
