import { limits } from '../limits.ts'
import type { AccessToken } from './auth-table.ts'
import { DamagedBytesError, type ByteReader } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'
import type { AuthCommand, Command } from './command.ts'
import {
  CLUSTER_RIGHTS,
  GRANT_ACCESS,
  isAuthName,
  isCertificateName,
  type Grant,
  type GrantedKeys,
  type ClusterRight,
  type Role,
} from './grants.ts'
import type { Key } from './key.ts'

/*
 * Roles and tokens, as commands and the table of them hold them. Names are texts.
 *
 *   role    name, number of grants u8, each: access u8, kind of keys u8, flags u8, two texts (key or prefix and nothing, or start and end);
 *           rights u8, a bit for each
 *   token   name, number of roles u8, their names, 1 + expiresAt u64 or 0, 1 + requestsPerSecond u64 or 0, 1 + bytesPerSecond u64 or 0,
 *           name in certificates or an empty text, hash as 32 bytes
 *
 * The bodies of the commands:
 *
 *   auth-bootstrap  name of the token, hash
 *   role-put        role
 *   role-delete     name
 *   token-create    token
 *   token-delete    id u64
 *   auth-reset      nothing
 */

export const AUTH_TYPES = [
  'auth-bootstrap',
  'role-put',
  'role-delete',
  'token-create',
  'token-delete',
  'auth-reset',
] as const satisfies readonly AuthCommand['type'][]

type WithoutTag<Kind> = Kind extends AuthCommand ? Omit<Kind, 'idempotency'> : never

/** A command without its tag. */
export type AuthBody = WithoutTag<AuthCommand>

export function isAuthCommand<Kind extends { readonly type: Command['type'] }>(
  command: Kind,
): command is Extract<Kind, { type: AuthCommand['type'] }> {
  const types: readonly Command['type'][] = AUTH_TYPES
  return types.includes(command.type)
}

const KEYS = ['key', 'prefix', 'range'] as const
const HAS_START = 0b01
const HAS_END = 0b10
const HASH = /^[0-9a-f]{64}$/
const HASH_BYTES = 32

export function isSecretHash(text: string): boolean {
  return HASH.test(text)
}

export function encodeAuthBody(writer: ByteWriter, command: AuthBody): ByteWriter {
  switch (command.type) {
    case 'auth-bootstrap':
      return writeHash(writer.text(command.name), command.hash)
    case 'role-put':
      return writeRole(writer, command.role)
    case 'role-delete':
      return writer.text(command.name)
    case 'token-create':
      return writeToken(writer, command.created)
    case 'token-delete':
      return writer.u64(command.id)
    case 'auth-reset':
      return writer
  }
}

/** Throws `DamagedBytesError` for what is no body, or exceeds the limits. */
export function readAuthBody(type: AuthBody['type'], reader: ByteReader): AuthBody {
  switch (type) {
    case 'auth-bootstrap':
      return { type, name: readName(reader), hash: readHash(reader) }
    case 'role-put':
      return { type, role: readRole(reader) }
    case 'role-delete':
      return { type, name: readName(reader) }
    case 'token-create':
      return { type, created: readToken(reader) }
    case 'token-delete':
      return { type, id: reader.u64() }
    case 'auth-reset':
      return { type }
  }
}

export function writeRole(writer: ByteWriter, { name, grants, rights }: Role): ByteWriter {
  writer.text(name).u8(grants.length)
  for (const { access, keys } of grants) writeKeys(writer.u8(GRANT_ACCESS.indexOf(access)), keys)
  return writer.u8(CLUSTER_RIGHTS.reduce((bits, right, at) => bits | (rights.includes(right) ? 1 << at : 0), 0))
}

export function readRole(reader: ByteReader): Role {
  const name = readName(reader)
  const grants = Array.from({ length: countIn(reader, limits.auth.grantsMax) }, () => readGrant(reader))
  const bits = reader.u8()
  if (bits >= 1 << CLUSTER_RIGHTS.length)
    throw new DamagedBytesError('a role has a right that this build does not know')
  const rights: ClusterRight[] = CLUSTER_RIGHTS.filter((_, at) => (bits & (1 << at)) !== 0)
  return { name, grants, rights }
}

export function writeToken(writer: ByteWriter, token: Omit<AccessToken, 'id'>): ByteWriter {
  writer.text(token.name).u8(token.roles.length)
  for (const role of token.roles) writer.text(role)
  for (const number of [token.expiresAt, token.requestsPerSecond, token.bytesPerSecond])
    writer.u64(number === null ? 0 : 1 + number)
  return writeHash(writer.text(token.certificateName ?? ''), token.hash)
}

export function readToken(reader: ByteReader): Omit<AccessToken, 'id'> {
  const name = readName(reader)
  const roles = Array.from({ length: countIn(reader, limits.auth.rolesOfTokenMax) }, () => readName(reader))
  const [expiresAt, requestsPerSecond, bytesPerSecond] = [
    readOptional(reader),
    readOptional(reader),
    readOptional(reader),
  ]
  const certificateName = readCertificateName(reader)
  return { name, roles, expiresAt, requestsPerSecond, bytesPerSecond, certificateName, hash: readHash(reader) }
}

function writeKeys(writer: ByteWriter, keys: GrantedKeys): void {
  writer.u8(KEYS.indexOf(keys.type))
  if (keys.type === 'key') writer.u8(0).text(keys.key).text('')
  else if (keys.type === 'prefix') writer.u8(0).text(keys.prefix).text('')
  else {
    const flags = (keys.start === null ? 0 : HAS_START) | (keys.end === null ? 0 : HAS_END)
    writer
      .u8(flags)
      .text(keys.start ?? '')
      .text(keys.end ?? '')
  }
}

function readGrant(reader: ByteReader): Grant {
  const access = GRANT_ACCESS[reader.u8()]
  const type = KEYS[reader.u8()]
  const flags = reader.u8()
  const [first, second] = [readBound(reader), readBound(reader)]
  if (access === undefined || type === undefined)
    throw new DamagedBytesError('a grant is of a kind that this build does not know')
  if (type === 'range') {
    const start = (flags & HAS_START) === 0 ? null : (first as Key)
    return { access, keys: { type, start, end: (flags & HAS_END) === 0 ? null : (second as Key) } }
  }
  if (type === 'prefix') return { access, keys: { type, prefix: first as Key | '' } }
  if (first === '') throw new DamagedBytesError('a grant names an empty key')
  return { access, keys: { type, key: first as Key } }
}

function readBound(reader: ByteReader): string {
  const text = reader.text()
  if (text.length > limits.keyBytesMax) throw new DamagedBytesError(`a key of ${text.length} bytes`)
  return text
}

function readName(reader: ByteReader): string {
  const name = reader.text()
  if (!isAuthName(name)) throw new DamagedBytesError('a name of a role or a token is none')
  return name
}

function readCertificateName(reader: ByteReader): string | null {
  const name = reader.text()
  if (name === '') return null
  if (!isCertificateName(name)) throw new DamagedBytesError('a name in certificates is none')
  return name
}

function readOptional(reader: ByteReader): number | null {
  const number = reader.u64()
  return number === 0 ? null : number - 1
}

function countIn(reader: ByteReader, max: number): number {
  const count = reader.u8()
  if (count > max) throw new DamagedBytesError(`there are ${count} of one kind; at most ${max} are possible`)
  return count
}

function writeHash(writer: ByteWriter, hash: string): ByteWriter {
  return writer.bytes(Buffer.from(hash, 'hex'))
}

function readHash(reader: ByteReader): string {
  const bytes = reader.bytes()
  if (bytes.length !== HASH_BYTES) throw new DamagedBytesError(`a hash of ${bytes.length} bytes`)
  return Buffer.from(bytes).toString('hex')
}
