import type { FastifyReply, FastifyRequest } from 'fastify'
import type {
  BootstrapBody,
  CreatedToken,
  RoleBody,
  RolesAnswer,
  SelfAnswer,
  TokenBody,
  TokensAnswer,
} from '../../api/auth.ts'
import type { Services } from '../../api/services.ts'
import { isAuthName, type AccessToken, type AuthCommand, type AuthTable, type ResultOf } from '../../kv/index.ts'
import { sendJson } from '../protocol/answer.ts'
import { callerOf } from '../protocol/api-response.ts'
import { leaderQuery, timeoutQuery } from '../protocol/queries.ts'
import { invalidQuery, invalidRequest } from '../protocol/query.ts'
import { redirectToLeader } from '../protocol/redirect.ts'
import { hashOf, hashOfCertificate, newSecret } from '../protocol/secret.ts'
import { requireProof, type BootstrapOptions } from './bootstrap-proof.ts'
import { authNotBegun, refusalOfChange, roleNotFound, tokenNotFound } from './refusals.ts'
import { grantView, roleFrom, roleView, tokenView } from './views.ts'

/** What has just made a secret must not stay in a cache. */
const UNKEPT = { 'cache-control': 'no-store' }

const FIRST_NAME = 'admin'

export interface AuthRequestsOptions extends BootstrapOptions {
  /** Milliseconds of the wall clock. */
  readonly wall: () => number
}

/** The requests on roles and tokens. Secrets are made here, and leave with the answer; nothing else of the program knows them. */
export class AuthRequests {
  private readonly options: AuthRequestsOptions
  private readonly services: Services

  constructor(options: AuthRequestsOptions, services: Services) {
    this.options = options
    this.services = services
  }

  async bootstrap(
    queryText: string,
    body: BootstrapBody | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    const { name = FIRST_NAME, secret: proof, tokenSecret } = body ?? {}
    const { timeout, redirect } = leaderQuery.read(queryText)
    // A client that is sent elsewhere sends the body again, to whatever address a member has announced.
    if (redirect && (tokenSecret !== undefined || proof !== undefined))
      throw invalidQuery(
        'redirect',
        'must not be true for a body with a secret: it would be carried to another address',
      )
    // Before anything else of the cluster: whoever asks now learns nothing of it, and costs no entry of its log.
    if (this.services.auth.table !== null) return this.bootstrapAgain(name, tokenSecret, request, reply)
    if (redirect && redirectToLeader(this.services.cluster, request, reply)) return
    await requireProof(this.options, this.services.cluster, request, proof)
    const secret = tokenSecret ?? newSecret()
    request.auditedAs = { name }
    const command = { type: 'auth-bootstrap', name, hash: hashOf(secret), idempotency: null } as const
    // The lead may be lost since. A secret counts on every node.
    const isOnlyHere = proof === undefined
    const { result } = await this.services.keys.execute(command, timeout, callerOf(reply), { isOnlyHere })
    // This node did not know of the first token. It has executed the command, so it does now.
    if (result.type === 'auth-begun-before') return this.bootstrapAgain(name, tokenSecret, request, reply)
    if (result.type !== 'auth-begun') throw refusalOfChange(result)
    this.sendNew(result.id, secret, reply)
  }

  /**
   * The answer to a request for the first token, when there are tokens. A client that has drawn the secret itself, and lost the answer, sends
   * the same request again, to whichever node: it has the same answer. It needs no other proof, since it holds the token. Whoever does not
   * is told what everybody is told. Secrets are looked up by their hashes, as those of all requests are, so that the time that this takes
   * says nothing of other secrets.
   */
  private bootstrapAgain(name: string, secret: string | undefined, request: FastifyRequest, reply: FastifyReply): void {
    const token = secret === undefined ? null : this.table().withHash(hashOf(secret))
    if (secret === undefined || token === null || !this.isFirst(token, name))
      throw refusalOfChange({ type: 'auth-begun-before' })
    request.auditedAs = { name, again: true }
    this.sendNew(token.id, secret, reply)
  }

  /** Whether a token is what a bootstrap under this name makes: the oldest, without limits and without an end. */
  private isFirst(token: AccessToken, name: string): boolean {
    const { tokens } = this.table()
    const [oldest] = tokens.keys()
    const isUnlimited = token.expiresAt === null && token.requestsPerSecond === null && token.bytesPerSecond === null
    return token.id === oldest && token.name === name && isUnlimited && this.table().rightsOf(token).has('auth:admin')
  }

  self(queryText: string, { access: { token } }: FastifyRequest, reply: FastifyReply): void {
    timeoutQuery.read(queryText)
    const { table } = this.services.auth
    const roles = token === null || table === null ? [] : token.roles.flatMap((name) => table.roles.get(name) ?? [])
    const answer: SelfAnswer = {
      enabled: table !== null,
      token: token === null ? null : tokenView(token),
      grants: roles.flatMap(({ grants }) => grants.map(grantView)),
      rights: [...new Set(roles.flatMap(({ rights }) => rights))],
    }
    sendJson(reply, {}, JSON.stringify(answer))
  }

  listRoles(queryText: string, reply: FastifyReply): void {
    timeoutQuery.read(queryText)
    const table = this.table()
    const roles = [...table.roles.values()].sort((one, other) => (one.name < other.name ? -1 : 1))
    const answer: RolesAnswer = { roles: roles.map(roleView), revision: table.revision }
    sendJson(reply, {}, JSON.stringify(answer))
  }

  getRole(name: string, queryText: string, reply: FastifyReply): void {
    timeoutQuery.read(queryText)
    const role = this.table().roles.get(name)
    if (role === undefined) throw roleNotFound(name)
    sendJson(reply, {}, JSON.stringify(roleView(role)))
  }

  async putRole(
    name: string,
    queryText: string,
    body: RoleBody,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    const { timeout, redirect } = leaderQuery.read(queryText)
    const role = roleFrom(nameIn(name), body)
    if (redirect && redirectToLeader(this.services.cluster, request, reply)) return
    request.auditedAs = body
    const result = await this.execute({ type: 'role-put', role, idempotency: null }, timeout, request, reply)
    if (result.type !== 'role-put') throw refusalOfChange(result)
    sendJson(reply.code(result.isNew ? 201 : 200), {}, JSON.stringify(roleView(role)))
  }

  async deleteRole(name: string, queryText: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { timeout, redirect } = leaderQuery.read(queryText)
    if (!isAuthName(name)) throw roleNotFound(name)
    if (redirect && redirectToLeader(this.services.cluster, request, reply)) return
    const result = await this.execute({ type: 'role-delete', name, idempotency: null }, timeout, request, reply)
    if (result.type !== 'role-deleted') throw refusalOfChange(result)
    void reply.code(204).send()
  }

  listTokens(queryText: string, reply: FastifyReply): void {
    timeoutQuery.read(queryText)
    const { tokens, revision } = this.table()
    const answer: TokensAnswer = { tokens: [...tokens.values()].map(tokenView), revision }
    sendJson(reply, {}, JSON.stringify(answer))
  }

  getToken(id: number, queryText: string, reply: FastifyReply): void {
    timeoutQuery.read(queryText)
    const token = this.table().tokens.get(id)
    if (token === undefined) throw tokenNotFound(id)
    sendJson(reply, {}, JSON.stringify(tokenView(token)))
  }

  async createToken(queryText: string, body: TokenBody, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { timeout, redirect } = leaderQuery.read(queryText)
    const { name, roles, ttlMs, requestsPerSecond = null, bytesPerSecond = null, certificateName = null } = body
    if (redirect && redirectToLeader(this.services.cluster, request, reply)) return
    request.auditedAs = body
    const { secret, hash } = proofFor(certificateName)
    const expiresAt = ttlMs === undefined ? null : Math.floor(this.options.wall()) + ttlMs
    const created: Omit<AccessToken, 'id'> = {
      name,
      roles,
      expiresAt,
      requestsPerSecond,
      bytesPerSecond,
      certificateName,
      hash,
    }
    const result = await this.execute({ type: 'token-create', created, idempotency: null }, timeout, request, reply)
    if (result.type !== 'token-created') throw refusalOfChange(result)
    request.auditedAs = { ...body, id: result.id }
    this.sendNew(result.id, secret, reply)
  }

  async deleteToken(id: number, queryText: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { timeout, redirect } = leaderQuery.read(queryText)
    if (redirect && redirectToLeader(this.services.cluster, request, reply)) return
    const result = await this.execute({ type: 'token-delete', id, idempotency: null }, timeout, request, reply)
    if (result.type !== 'token-deleted') throw refusalOfChange(result)
    void reply.code(204).send()
  }

  private async execute<Kind extends AuthCommand>(
    command: Kind,
    timeoutMs: number,
    { access: { token } }: FastifyRequest,
    reply: FastifyReply,
  ): Promise<ResultOf<Kind>> {
    const asked = token === null ? command : { ...command, token: token.id }
    const { result } = await this.services.keys.execute(asked, timeoutMs, callerOf(reply))
    return result
  }

  /** The command is executed on this node, so that the token is known here. */
  private sendNew(id: number, secret: string | null, reply: FastifyReply): void {
    const token = this.table().tokens.get(id)
    if (token === undefined) throw tokenNotFound(id)
    const answer: CreatedToken = { ...tokenView(token), ...(secret === null ? {} : { secret }) }
    sendJson(reply.code(201), { ...UNKEPT }, JSON.stringify(answer))
  }

  private table(): AuthTable {
    const { table } = this.services.auth
    if (table === null) throw authNotBegun()
    return table
  }
}

/** What the holder of a new token shows: a certificate of that name, or a new secret. */
function proofFor(certificateName: string | null): { readonly secret: string | null; readonly hash: string } {
  if (certificateName !== null) return { secret: null, hash: hashOfCertificate(certificateName) }
  const secret = newSecret()
  return { secret, hash: hashOf(secret) }
}

function nameIn(text: string): string {
  if (isAuthName(text)) return text
  throw invalidRequest({
    path: 'path/name',
    message: 'must be a name: 1 to 64 of A-Z, a-z, 0-9, and ._@:- but not at the start',
  })
}
