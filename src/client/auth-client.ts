import { randomBytes } from 'node:crypto'
import { tokenSecretBytes, tokenSecretOf } from '../lib/token-secret.ts'
import { textFrom } from './arguments.ts'
import type { GrantView, NewToken, RoleView, SelfAnswer, TokenView } from './api-types.ts'
import type { RequestOptions } from './options.ts'
import type { Call, Requests } from './requests.ts'

/** What a role allows. */
export interface RoleContent {
  readonly grants?: readonly GrantView[]
  readonly rights?: RoleView['rights']
}

export interface TokenOptions extends RequestOptions {
  /** After this time the token ends. Absent: never. */
  readonly ttlMs?: number | undefined
  /** What it may take of each node. Absent: as much as there is. */
  readonly requestsPerSecond?: number | undefined
  readonly bytesPerSecond?: number | undefined
}

export interface BootstrapOptions extends RequestOptions {
  /** The name of the first token. Absent: `admin`. */
  readonly name?: string | undefined
  /** What is in the file of `--auth-bootstrap-file`. Absent: the first server is the leader, on this machine. */
  readonly secret?: string | undefined
  /**
   * The secret that the token is to have, of `newTokenSecret`. A program that keeps it before it asks can ask again with the same options
   * after any failure, and has the same answer. Absent: one is drawn for this call.
   */
  readonly tokenSecret?: string | undefined
}

/** A secret for the first token (`bootstrap`): `quorate_` and 43 characters, 256 random bits. */
export function newTokenSecret(): string {
  return tokenSecretOf(randomBytes(tokenSecretBytes))
}

/** Members of every answer about a role, and of every one about a token. */
const ofRole = ['name', 'grants', 'rights'] as const
const ofToken = ['id', 'name', 'roles'] as const

/** Roles and tokens: who may do what. A change is sent again only when it certainly was not made, or when that makes no difference. */
export class AuthClient {
  private readonly requests: Requests

  /** @internal */
  constructor(requests: Requests) {
    this.requests = requests
  }

  /**
   * Makes the first token, which may do everything. From then on every request needs one. The secret of the token is that of the caller, or of
   * this call, so that the request is sent again when its answer is lost. Rejects with `AmbiguousOutcomeError` when no answer came: the same
   * call with the same `tokenSecret` finds out.
   */
  async bootstrap({ name, secret, tokenSecret, ...options }: BootstrapOptions = {}): Promise<NewToken> {
    const json = {
      ...(name === undefined ? {} : { name }),
      ...(secret === undefined ? {} : { secret }),
      tokenSecret: tokenSecret ?? newTokenSecret(),
    }
    const call = { method: 'POST', path: '/auth/bootstrap', json, isIdempotent: true, members: ofToken } as const
    return await this.requests.read<NewToken>(call, options)
  }

  /** The token of this client, and what it may do. */
  async self(options: RequestOptions = {}): Promise<SelfAnswer> {
    return await this.requests.read<SelfAnswer>(reading('/auth/self', ['enabled']), options)
  }

  async roles(options: RequestOptions = {}): Promise<readonly RoleView[]> {
    const call = reading('/auth/roles', ['roles'])
    const { roles } = await this.requests.read<{ readonly roles: readonly RoleView[] }>(call, options)
    return roles
  }

  async role(name: string, options: RequestOptions = {}): Promise<RoleView> {
    return await this.requests.read<RoleView>(reading(rolePath(name), ofRole), options)
  }

  /** Makes the role, or puts it in the place of the one with this name. */
  async putRole(name: string, content: RoleContent, options: RequestOptions = {}): Promise<RoleView> {
    const call = { method: 'PUT', path: rolePath(name), json: content, members: ofRole } as const
    return await this.requests.read<RoleView>(call, options)
  }

  async deleteRole(name: string, options: RequestOptions = {}): Promise<void> {
    await this.requests.done({ method: 'DELETE', path: rolePath(name) }, options)
  }

  async tokens(options: RequestOptions = {}): Promise<readonly TokenView[]> {
    const call = reading('/auth/tokens', ['tokens'])
    const { tokens } = await this.requests.read<{ readonly tokens: readonly TokenView[] }>(call, options)
    return tokens
  }

  async token(id: number, options: RequestOptions = {}): Promise<TokenView> {
    return await this.requests.read<TokenView>(reading(`/auth/tokens/${id}`, ofToken), options)
  }

  /** The answer is the only one that ever has the secret. */
  async createToken(name: string, roles: readonly string[], options: TokenOptions = {}): Promise<NewToken> {
    return await this.requests.read<NewToken>(creation({ name, roles }, options), options)
  }

  /** Client certificates with the common name `certificateName` stand for this token, which has no secret. */
  async createCertificateToken(
    name: string,
    roles: readonly string[],
    certificateName: string,
    options: TokenOptions = {},
  ): Promise<TokenView> {
    return await this.requests.read<TokenView>(creation({ name, roles, certificateName }, options), options)
  }

  /** Once this resolves, the token is good for nothing on any node. */
  async revokeToken(id: number, options: RequestOptions = {}): Promise<void> {
    await this.requests.done({ method: 'DELETE', path: `/auth/tokens/${id}` }, options)
  }
}

function reading(path: string, members: readonly string[]): Call {
  return { method: 'GET', path, members }
}

function rolePath(name: string): string {
  return `/auth/roles/${encodeURIComponent(textFrom('name', name))}`
}

function creation(content: object, { ttlMs, requestsPerSecond, bytesPerSecond }: TokenOptions): Call {
  const json = { ...content, ...given({ ttlMs, requestsPerSecond, bytesPerSecond }) }
  return { method: 'POST', path: '/auth/tokens', json, members: ofToken }
}

function given(members: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}
