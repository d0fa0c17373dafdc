import { FEATURE_LEVEL } from './feature-level.ts'
import type { HistoryState } from './history.ts'
import type { LeasesState } from './lease-ledger.ts'
import { readU8, readU64, writeU64 } from './integers.ts'
import { NewerStateError, UnreadableStateError } from './unreadable-state-error.ts'

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
  /** Every member of the cluster knows the commands up to this level (feature-level.ts). Never decreases. */
  readonly level: number
  /** Null at level 0. */
  readonly history: HistoryState | null
  readonly leases: LeasesState
  /** The revision of the last change of roles and tokens; 0: there are none. */
  readonly auth: number
}

/** The oldest revision that can be read: without history the present one. */
export function oldestRevision({ revision, history }: MachineState): number {
  return history === null ? revision : history.compactedRevision
}

/** Whether what is readable now stays readable for a while, whatever is written. */
export function isHistoryKept({ history }: MachineState): boolean {
  return history !== null && history.retention.revisions > 0
}

/** Whether what is removed now is copied into the history: also into one that was switched off, until nothing is left of it. */
export function isHistoryRecorded({ history }: MachineState): boolean {
  return history !== null && (history.retention.revisions > 0 || history.changes > 0)
}

export const NO_LEASES: LeasesState = { leases: 0, attachedKeys: 0, locks: 0, lockWaiters: 0 }

/**
 * Format u8, four numbers u64 in the order of the interface, the number of rings u8, one u64 for each ring. That is format 2, which builds
 * before level 1 can read: a state of level 0 has it. In format 3 the level u8 follows, then the history: seven u64 in the order of its
 * interface and that of the retention, four u64 for leases, and one for roles and tokens.
 */
const FIRST_FORMAT = 2
const STATE_FORMAT = 3
const FIXED_BYTES = 34
const HISTORY_NUMBERS = 7
const LEASE_NUMBERS = 4
const AUTH_NUMBERS = 1
const LEVEL_BYTES = 1 + 8 * (HISTORY_NUMBERS + LEASE_NUMBERS + AUTH_NUMBERS)

export function encodeMachineState(state: MachineState): Uint8Array {
  const { level, history } = state
  const ringsEnd = FIXED_BYTES + 8 * state.keptValues.length
  const bytes = Buffer.allocUnsafe(ringsEnd + (history === null ? 0 : LEVEL_BYTES))
  bytes[0] = history === null ? FIRST_FORMAT : STATE_FORMAT
  writeU64(bytes, 1, state.revision)
  writeU64(bytes, 9, state.digest)
  writeU64(bytes, 17, state.idempotentFirst)
  writeU64(bytes, 25, state.idempotentNext)
  bytes[33] = state.keptValues.length
  for (const [ring, taken] of state.keptValues.entries()) writeU64(bytes, FIXED_BYTES + 8 * ring, taken)
  if (history === null) return bytes
  bytes[ringsEnd] = level
  const { leases, attachedKeys, locks, lockWaiters } = state.leases
  const numbers = [...numbersOf(history), leases, attachedKeys, locks, lockWaiters, state.auth]
  for (const [at, number] of numbers.entries()) writeU64(bytes, ringsEnd + 1 + 8 * at, number)
  return bytes
}

function numbersOf({ compactedRevision, collectedRevision, changes, bytes, retention }: HistoryState): number[] {
  return [compactedRevision, collectedRevision, changes, bytes, retention.revisions, retention.ageMs, retention.bytes]
}

/** Throws `UnreadableStateError`; `NewerStateError` for a state beyond the formats and the feature level that this build knows. */
export function decodeMachineState(bytes: Uint8Array): MachineState {
  const format = bytes[0] ?? FIRST_FORMAT
  if (format !== FIRST_FORMAT && format !== STATE_FORMAT) {
    throw errorOf(
      format > STATE_FORMAT,
      `the machine state has format ${format}; this build only knows formats ${FIRST_FORMAT} and ${STATE_FORMAT}`,
    )
  }
  const ringsEnd = bytes.length < FIXED_BYTES ? FIXED_BYTES : FIXED_BYTES + 8 * readU8(bytes, 33)
  const size = ringsEnd + (format === STATE_FORMAT ? LEVEL_BYTES : 0)
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
  const keptValues = readNumbers(bytes, FIXED_BYTES, readU8(bytes, 33), 'the number of kept values')
  const written = { revision, digest, idempotentFirst, idempotentNext, keptValues }
  if (format === FIRST_FORMAT) return { ...written, level: 0, history: null, leases: NO_LEASES, auth: 0 }
  const level = readU8(bytes, ringsEnd)
  if (level < 1 || level > FEATURE_LEVEL) {
    throw errorOf(
      level > FEATURE_LEVEL,
      `the state has feature level ${level}; this build knows 1 to ${FEATURE_LEVEL}: run the version of the other members, or a newer one`,
    )
  }
  const history = readHistory(bytes, ringsEnd + 1, revision)
  const leasesAt = ringsEnd + 1 + 8 * HISTORY_NUMBERS
  const numbers = readNumbers(bytes, leasesAt, LEASE_NUMBERS + AUTH_NUMBERS, 'the number of leases, or a revision,')
  const [leases = 0, attachedKeys = 0, locks = 0, lockWaiters = 0, auth = 0] = numbers
  return { ...written, level, history, leases: { leases, attachedKeys, locks, lockWaiters }, auth }
}

function errorOf(isNewer: boolean, message: string): UnreadableStateError {
  return isNewer ? new NewerStateError(message) : new UnreadableStateError(message)
}

function readHistory(bytes: Uint8Array, at: number, revision: number): HistoryState {
  const numbers = readNumbers(bytes, at, HISTORY_NUMBERS, 'a number of the history')
  const [compactedRevision = 0, collectedRevision = 0, changes = 0, size = 0, revisions = 0, ageMs = 0, most = 0] =
    numbers
  if (collectedRevision > compactedRevision || compactedRevision > revision) {
    throw new UnreadableStateError('the revisions of the history are out of order')
  }
  const retention = { revisions, ageMs, bytes: most }
  return { compactedRevision, collectedRevision, changes, bytes: size, retention }
}

function readNumbers(bytes: Uint8Array, from: number, count: number, what: string): number[] {
  const numbers = Array.from({ length: count }, (_, at) => readU64(bytes, from + 8 * at))
  if (!numbers.every(Number.isSafeInteger))
    throw new UnreadableStateError(`${what} in the machine state is out of range`)
  return numbers
}
