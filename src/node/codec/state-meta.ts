import type { MachineState } from '../../kv/index.ts'
import { decodeMachineState, encodeMachineState, NewerStateError } from '../../kv/index.ts'
import type { StateView } from '../../ports/state-store.ts'
import type { LogId, StoredMembership } from '../../raft/index.ts'
import { NO_MEMBERSHIP } from '../../raft/index.ts'
import { logIdOf, parsed, storedMembershipFromJson, storedMembershipToJson } from './membership-codec.ts'

/** What the state records about itself, written in the same batch as the rows that it describes. */
export interface StateMeta {
  readonly applied: LogId
  readonly membership: StoredMembership
  readonly machine: MachineState
}

const FORMAT_VERSION = 1
const HEADER_BYTES = 1 + 8 + 4 + 8 + 4

/** The membership seldom changes, so the bytes of each one are made only once. */
const membershipBytes = new WeakMap<StoredMembership, Buffer>()

function bytesOfMembership(stored: StoredMembership): Buffer {
  let bytes = membershipBytes.get(stored)
  if (bytes === undefined) {
    bytes = Buffer.from(JSON.stringify(storedMembershipToJson(stored)), 'utf8')
    membershipBytes.set(stored, bytes)
  }
  return bytes
}

/** u8 version, f64 term, u32 node, f64 index, u32 length of the membership, the membership as JSON, then the machine's state. */
export function encodeStateMeta(meta: StateMeta): Uint8Array {
  const membership = bytesOfMembership(meta.membership)
  const machine = encodeMachineState(meta.machine)
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + membership.length + machine.length)
  bytes[0] = FORMAT_VERSION
  bytes.writeDoubleBE(meta.applied.leaderId.term, 1)
  bytes.writeUInt32BE(meta.applied.leaderId.nodeId, 9)
  bytes.writeDoubleBE(meta.applied.index, 13)
  bytes.writeUInt32BE(membership.length, 21)
  bytes.set(membership, HEADER_BYTES)
  bytes.set(machine, HEADER_BYTES + membership.length)
  return bytes
}

/** Null for bytes of another version or shape: this version cannot use the state. */
export function decodeStateMeta(meta: Uint8Array): StateMeta | null {
  const bytes = Buffer.from(meta.buffer, meta.byteOffset, meta.byteLength)
  if (bytes.length < HEADER_BYTES || bytes[0] !== FORMAT_VERSION) return null
  const membershipEnd = HEADER_BYTES + bytes.readUInt32BE(21)
  if (membershipEnd > bytes.length) return null
  const applied = logIdOf(bytes.readDoubleBE(1), bytes.readUInt32BE(9), bytes.readDoubleBE(13))
  if (applied === null) return null
  return {
    applied,
    membership: membershipFrom(bytes.subarray(HEADER_BYTES, membershipEnd)),
    machine: decodeMachineState(bytes.subarray(membershipEnd)),
  }
}

/**
 * The machine of a cluster that goes on at `revision`, before which `gap` revisions are left out; 0: none, and it goes on as it is. With a gap, no
 * revision, ETag, fencing token or id of a lease that clients have seen of an old cluster is given out a second time. The history is compacted up
 * to there, so that a watch or a read which would miss what happened in between is refused.
 */
export function machineAfter(gap: number, revision: number, machine: MachineState): MachineState {
  if (gap === 0) return machine
  const { history } = machine
  return { ...machine, revision, history: history === null ? null : { ...history, compactedRevision: revision } }
}

/** Throws `NewerStateError` for the meta of a state that a newer build wrote, and other errors where it is damaged. */
export function refuseNewer(meta: Uint8Array): void {
  if ((meta[0] ?? 0) > FORMAT_VERSION)
    throw new NewerStateError('the meta is of a version that this build does not know: run a newer one')
  decodeStateMeta(meta)
}

function membershipFrom(bytes: Buffer): StoredMembership {
  if (bytes.length === 0) return NO_MEMBERSHIP
  return storedMembershipFromJson(parsed(bytes))
}

/** The meta of `view`; null for an empty store. When the meta cannot be read, the view is closed here: nobody else would close it. */
export async function metaOf(view: StateView): Promise<StateMeta | null> {
  try {
    return view.meta === null ? null : decodeStateMeta(view.meta)
  } catch (error) {
    await view.close()
    throw error
  }
}
