import { limits } from '../limits.ts'
import { readRole, readToken, writeRole, writeToken } from './auth-codec.ts'
import { DamagedBytesError, readWhole, type ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { Rights, type Role } from './grants.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/** What a token may take of one node; null: no limit of its own. */
interface TokenLimits {
  readonly requestsPerSecond: number | null
  readonly bytesPerSecond: number | null
}

/** What is known of a token. Only its holder knows its secret, if it has one. */
export interface AccessToken extends TokenLimits {
  /** The revision of the entry that made it: no two tokens ever have the same. */
  readonly id: number
  /** Who holds it. Tokens of one name are the same holder, and have its leases in common. */
  readonly name: string
  readonly roles: readonly string[]
  /** Milliseconds of the wall clock; null: never. The leader deletes a token whose time is up. */
  readonly expiresAt: number | null
  /** The common name of the certificates that stand for it; null: its holder has a secret. */
  readonly certificateName: string | null
  /** The SHA-256, in hexadecimal, of what its holder shows: the secret, or the name in the certificate with a mark in front. */
  readonly hash: string
}

/** Format u8, revision u64, number of roles u32, the roles, number of tokens u32, the tokens (auth-codec.ts). */
const FORMAT = 1

/** All roles and tokens, as of one revision. Immutable. */
export class AuthTable {
  /** The revision of the entry that made it what it is. */
  readonly revision: number
  readonly roles: ReadonlyMap<string, Role>
  /** By id, ascending. */
  readonly tokens: ReadonlyMap<number, AccessToken>
  private readonly byHash: ReadonlyMap<string, AccessToken>
  /** The rights of those tokens that were asked for. */
  private readonly rights = new Map<number, Rights>()

  constructor(revision: number, roles: ReadonlyMap<string, Role>, tokens: ReadonlyMap<number, AccessToken>) {
    this.revision = revision
    this.roles = roles
    this.tokens = tokens
    this.byHash = new Map([...tokens.values()].map((token) => [token.hash, token]))
  }

  /** The token of whoever shows what has this hash; null when there is none. */
  withHash(hash: string): AccessToken | null {
    return this.byHash.get(hash) ?? null
  }

  rightsOf(token: AccessToken): Rights {
    const known = this.rights.get(token.id)
    if (known !== undefined) return known
    const roles = token.roles.map((name) => this.roles.get(name))
    const rights = new Rights(roles.filter((role) => role !== undefined))
    this.rights.set(token.id, rights)
    return rights
  }

  /** How many tokens have this role. */
  holdersOf(role: string): number {
    return [...this.tokens.values()].filter(({ roles }) => roles.includes(role)).length
  }

  /** Whether somebody may change roles and tokens, and always will: without one nobody could let others in. */
  get hasAdmin(): boolean {
    return [...this.tokens.values()].some((token) => token.expiresAt === null && this.rightsOf(token).has('auth:admin'))
  }
}

export function encodeAuthTable({ revision, roles, tokens }: AuthTable): Uint8Array {
  const writer = new ByteWriter().u8(FORMAT).u64(revision).u32(roles.size)
  for (const role of roles.values()) writeRole(writer, role)
  writer.u32(tokens.size)
  for (const token of tokens.values()) writeToken(writer.u64(token.id), token)
  return writer.done()
}

/** Throws `UnreadableStateError`. */
export function decodeAuthTable(bytes: Uint8Array): AuthTable {
  return readWhole(bytes, readTable, (what) => new UnreadableStateError(`the roles and tokens are damaged: ${what}`))
}

function readTable(reader: ByteReader): AuthTable {
  const format = reader.u8()
  if (format !== FORMAT) throw new DamagedBytesError(`they have format ${format}; this build only knows ${FORMAT}`)
  const revision = reader.u64()
  const roles = new Map<string, Role>()
  for (let left = countIn(reader, limits.auth.rolesMax); left > 0; left--) {
    const role = readRole(reader)
    roles.set(role.name, role)
  }
  const tokens = new Map<number, AccessToken>()
  for (let left = countIn(reader, limits.auth.tokensMax); left > 0; left--) {
    const id = reader.u64()
    tokens.set(id, { id, ...readToken(reader) })
  }
  return new AuthTable(revision, roles, tokens)
}

function countIn(reader: ByteReader, max: number): number {
  const count = reader.u32()
  if (count > max) throw new DamagedBytesError(`there are ${count} of one kind; at most ${max} are possible`)
  return count
}
