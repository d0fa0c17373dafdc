import { readU64, writeU64 } from './integers.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/** What the machine carries from command to command, apart from the rows. Stored in the same write as the rows it goes with. */
export interface MachineState {
  /** Of the last command that changed a record; 0 before the first. Never falls. */
  readonly revision: number
  /** Hash of every command executed so far and its outcome. Replicas that executed the same log have the same one; 53 bits. */
  readonly digest: number
  /** Keyed writes are numbered from 0. Those in `[keyedFirst, keyedNext)` are remembered. Both only grow. */
  readonly keyedFirst: number
  readonly keyedNext: number
}

/** Format u8, then the fields as u64, in the order of the interface. */
const STATE_FORMAT = 1
const STATE_BYTES = 33

export function encodeMachineState(state: MachineState): Uint8Array {
  const bytes = Buffer.allocUnsafe(STATE_BYTES)
  bytes[0] = STATE_FORMAT
  writeU64(bytes, 1, state.revision)
  writeU64(bytes, 9, state.digest)
  writeU64(bytes, 17, state.keyedFirst)
  writeU64(bytes, 25, state.keyedNext)
  return bytes
}

/** Throws `UnreadableStateError`. */
export function decodeMachineState(bytes: Uint8Array): MachineState {
  if (bytes.length > 0 && bytes[0] !== STATE_FORMAT) {
    throw new UnreadableStateError(
      `the machine state has format ${bytes[0]}; this build knows format ${STATE_FORMAT} only`,
    )
  }
  if (bytes.length !== STATE_BYTES) {
    throw new UnreadableStateError(`the machine state has ${bytes.length} bytes; it should have ${STATE_BYTES}`)
  }
  const revision = readU64(bytes, 1)
  const digest = readU64(bytes, 9)
  const keyedFirst = readU64(bytes, 17)
  const keyedNext = readU64(bytes, 25)
  if (!Number.isSafeInteger(revision) || !Number.isSafeInteger(digest)) {
    throw new UnreadableStateError('the machine state has a number out of range')
  }
  if (!Number.isSafeInteger(keyedNext) || keyedFirst > keyedNext) {
    throw new UnreadableStateError('the machine state counts keyed writes in reverse')
  }
  return { revision, digest, keyedFirst, keyedNext }
}
