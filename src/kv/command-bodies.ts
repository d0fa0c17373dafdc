import { assert } from '../lib/assert.ts'
import { DamagedBytesError, readWhole, type ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { AUTH_TYPES, encodeAuthBody, readAuthBody } from './auth-codec.ts'
import type { AuthCommand, Command, LeaseCommand, Retention } from './command.ts'
import { FEATURE_LEVEL } from './feature-level.ts'
import { encodeLeaseBody, LEASE_TYPES, readLeaseBody } from './lease-codec.ts'
import { branchFaults } from './transaction-rules.ts'
import { encodeTransactionBody, readTransactionBody } from './transaction-codec.ts'

/*
 * The bodies of the commands that are more than a write to a key or a range. Each type of command has a number, which once used never means
 * anything else.
 *
 *   raise-level   level u32, version, revisions u64, ageMs u64, bytes u64
 *   compaction    1 + revision u64, or 0
 *   retention     revisions u64, ageMs u64, bytes u64
 *   lease-..., lock-...  lease-codec.ts
 *   auth-..., role-..., token-...  auth-codec.ts
 */
const TYPES = {
  transaction: 4,
  'raise-level': 5,
  compaction: 6,
  retention: 7,
  'lease-grant': 32,
  'lease-renew': 33,
  'lease-revoke': 34,
  'lock-acquire': 48,
  'lock-release': 49,
  'auth-bootstrap': 64,
  'role-put': 65,
  'role-delete': 66,
  'token-create': 67,
  'token-delete': 68,
  'auth-reset': 69,
} as const

const NUMBERS: ReadonlySet<number> = new Set(Object.values(TYPES))

/** A command that has a body. */
export type BodyCommand = Extract<Command, { type: keyof typeof TYPES }>

type WithoutTag<Kind> = Kind extends BodyCommand ? Omit<Kind, 'idempotency'> : never
type BodyType = BodyCommand['type']

/** A damaged version in a raise of the level cannot make a message longer than this. */
const VERSION_CHARACTERS_MAX = 100
/** A version that may be shown to an operator, who acts on it: the text comes from another node. */
const SAYABLE_VERSION = new RegExp(`^[0-9A-Za-z.+-]{1,${VERSION_CHARACTERS_MAX}}$`)

/** The cluster has commands that this build does not know. The command that says so is sound. */
export class LevelTooHighError extends Error {
  override readonly name = 'LevelTooHighError'
}

export function bodyNumberOf({ type }: BodyCommand): number {
  return TYPES[type]
}

export function isBodyNumber(number: number): boolean {
  return NUMBERS.has(number)
}

export function encodeBody(command: BodyCommand): Uint8Array {
  switch (command.type) {
    case 'transaction':
      return encodeTransactionBody(command)
    case 'raise-level':
      return writeRetention(new ByteWriter().u32(command.level).text(command.version), command.retention).done()
    case 'compaction':
      return new ByteWriter().u64(command.revision === null ? 0 : command.revision + 1).done()
    case 'retention':
      return writeRetention(new ByteWriter(), command.retention).done()
    case 'auth-bootstrap':
    case 'role-put':
    case 'role-delete':
    case 'token-create':
    case 'token-delete':
    case 'auth-reset':
      return encodeAuthBody(new ByteWriter(), command).done()
    default:
      return encodeLeaseBody(command)
  }
}

/** Throws what `damaged` makes of the fault, or `LevelTooHighError`. `number`: one of those that `isBodyNumber` knows. */
export function readBody(number: number, bytes: Uint8Array, damaged: (what: string) => Error): WithoutTag<BodyCommand> {
  return readWhole(bytes, (reader) => readParts(number, reader), damaged)
}

/** What no sound front proposes although it can be read; null when there is nothing of the kind. */
export function bodyFault(command: WithoutTag<BodyCommand>): string | null {
  if (command.type !== 'transaction') return null
  return [...branchFaults(command.success), ...branchFaults(command.failure)][0]?.message ?? null
}

function readParts(number: number, reader: ByteReader): WithoutTag<BodyCommand> {
  switch (number) {
    case TYPES.transaction:
      return { type: 'transaction', ...readTransactionBody(reader) }
    case TYPES['raise-level']:
      return { type: 'raise-level', ...readRaise(reader) }
    case TYPES.compaction: {
      const revision = reader.u64()
      return { type: 'compaction', revision: revision === 0 ? null : revision - 1 }
    }
    case TYPES.retention:
      return { type: 'retention', retention: readRetention(reader) }
    default: {
      const auth = typeWith<AuthCommand['type']>(AUTH_TYPES, number)
      if (auth !== undefined) return readAuthBody(auth, reader)
      const lease = typeWith<LeaseCommand['type']>(LEASE_TYPES, number)
      assert(lease !== undefined, 'a body is read under one of the numbers of commands')
      return readLeaseBody(lease, reader)
    }
  }
}

function typeWith<Type extends BodyType>(types: readonly Type[], number: number): Type | undefined {
  return types.find((one) => TYPES[one] === number)
}

function readRaise(reader: ByteReader) {
  const level = reader.u32()
  const said = reader.text()
  if (level > FEATURE_LEVEL) {
    const [raiser, needed] = SAYABLE_VERSION.test(said)
      ? [`version ${said}`, `version ${said} or a newer one`]
      : ['a newer version', 'a newer version']
    throw new LevelTooHighError(
      `the cluster is at feature level ${level}, which ${raiser} has raised; this build knows level ${FEATURE_LEVEL}: run ${needed}`,
    )
  }
  if (level < 1) throw new DamagedBytesError('it raises the level to 0')
  return { level, version: said.slice(0, VERSION_CHARACTERS_MAX), retention: readRetention(reader) }
}

function writeRetention(writer: ByteWriter, { revisions, ageMs, bytes }: Retention): ByteWriter {
  return writer.u64(revisions).u64(ageMs).u64(bytes)
}

function readRetention(reader: ByteReader): Retention {
  return { revisions: reader.u64(), ageMs: reader.u64(), bytes: reader.u64() }
}
