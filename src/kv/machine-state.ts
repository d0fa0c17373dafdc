import { readU8, readU64, writeU64 } from './integers.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/** What the machine carries from command to command, apart from the rows. Stored in the same write as the rows that it belongs to. */
export interface MachineState {
  /** The revision of the last command that changed a record; 0 before the first. Never decreases. */
  readonly revision: number
  /** A hash of every command executed so far and of its outcome; 53 bits. Equal on all replicas that executed the same log. */
  readonly digest: number
  /** Idempotent writes are numbered from 0. Those in `[idempotentFirst, idempotentNext)` are remembered. Both only grow. */
  readonly idempotentFirst: number
  readonly idempotentNext: number
  /** How many values each ring of kept values has taken so far. These numbers only grow. */
  readonly keptValues: readonly number[]
}

/** Format u8, four numbers u64 in the order of the interface, the number of rings u8, one u64 for each ring. */
const STATE_FORMAT = 2
const FIXED_BYTES = 34

export function encodeMachineState(state: MachineState): Uint8Array {
  const bytes = Buffer.allocUnsafe(FIXED_BYTES + 8 * state.keptValues.length)
  bytes[0] = STATE_FORMAT
  writeU64(bytes, 1, state.revision)
  writeU64(bytes, 9, state.digest)
  writeU64(bytes, 17, state.idempotentFirst)
  writeU64(bytes, 25, state.idempotentNext)
  bytes[33] = state.keptValues.length
  for (const [ring, taken] of state.keptValues.entries()) writeU64(bytes, FIXED_BYTES + 8 * ring, taken)
  return bytes
}

/** Throws `UnreadableStateError`. */
export function decodeMachineState(bytes: Uint8Array): MachineState {
  if (bytes.length > 0 && bytes[0] !== STATE_FORMAT) {
    throw new UnreadableStateError(
      `the machine state has format ${bytes[0]}; this build only knows format ${STATE_FORMAT}`,
    )
  }
  const size = bytes.length < FIXED_BYTES ? FIXED_BYTES : FIXED_BYTES + 8 * readU8(bytes, 33)
  if (bytes.length !== size) {
    throw new UnreadableStateError(`the machine state has ${bytes.length} bytes; it should have ${size}`)
  }
  const revision = readU64(bytes, 1)
  const digest = readU64(bytes, 9)
  const idempotentFirst = readU64(bytes, 17)
  const idempotentNext = readU64(bytes, 25)
  if (!Number.isSafeInteger(revision) || !Number.isSafeInteger(digest)) {
    throw new UnreadableStateError('a number in the machine state is out of range')
  }
  if (!Number.isSafeInteger(idempotentNext) || idempotentFirst > idempotentNext) {
    throw new UnreadableStateError('the first idempotent write in the machine state comes after the last')
  }
  const keptValues: number[] = []
  for (let at = FIXED_BYTES; at < bytes.length; at += 8) keptValues.push(readU64(bytes, at))
  if (!keptValues.every(Number.isSafeInteger)) {
    throw new UnreadableStateError('the number of kept values in the machine state is out of range')
  }
  return { revision, digest, idempotentFirst, idempotentNext, keptValues }
}
