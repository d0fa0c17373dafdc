import { limits } from '../limits.ts'
import type { AuthResult } from './auth-result.ts'
import { AuthTable, encodeAuthTable, type AccessToken } from './auth-table.ts'
import type { AuthBootstrapCommand, AuthCommand, Command, TokenCreateCommand } from './command.ts'
import { NODE_ITSELF } from './command.ts'
import { UNAUTHENTICATED, type Denial, type Need } from './denial.ts'
import type { Digest } from './digest.ts'
import { CLUSTER_RIGHTS, rangeOfKey, type Rights, type Role } from './grants.ts'
import type { LeaseLedger } from './lease-ledger.ts'
import { needsOf } from './needs.ts'
import { AUTH_ROW } from './row.ts'
import type { Workspace } from './workspace.ts'

/** What became of a command, as the digest keeps it. A number once used never means anything else. */
const UNAUTHENTICATED_OUTCOME = 19
const FORBIDDEN = 20
const CHANGED = 21
const UNCHANGED = 22
const RESET = 23

/** The role that the first token gets. */
const ADMIN_ROLE = 'admin'

const EVERYTHING: Role = {
  name: ADMIN_ROLE,
  grants: [{ access: 'read-write', keys: { type: 'prefix', prefix: '' } }],
  rights: CLUSTER_RIGHTS,
}

/** Whether a holder of `rights` may do what `need` says, as far as that does not depend on a lease. */
export function allows(rights: Rights, need: Need): boolean {
  if ('right' in need) return rights.has(need.right)
  if ('lease' in need) return true
  if ('any' in need) return rights.mayAny(need.access)
  return rights.may(need.access, 'key' in need ? rangeOfKey(need.key) : need.range)
}

/**
 * Decides who may do what, once there are tokens, and executes the changes of roles and tokens.
 *
 * Nodes refuse what they know to be forbidden before they propose it. What counts is the decision here, in the order of the log: from the entry
 * that revokes a token on, no command under it takes effect, whichever node has taken it, and whenever.
 */
export class Authority {
  private readonly ledger: LeaseLedger
  private readonly digest: Digest
  private present: AuthTable | null

  /** `table` null: there are no tokens, and everybody may do everything. */
  constructor(ledger: LeaseLedger, digest: Digest, table: AuthTable | null) {
    this.ledger = ledger
    this.digest = digest
    this.present = table
  }

  /** The roles and tokens; null: there are none. */
  get table(): AuthTable | null {
    return this.present
  }

  /** Why `command` may not be executed; null when it may. */
  refuse(command: Command, workspace: Workspace): Denial | null {
    const { present: table } = this
    if (table === null || command.token === NODE_ITSELF || needsNobody(command)) return null
    const token = tokenOf(command, table)
    const denial =
      token === null ? UNAUTHENTICATED : this.refuseHolder(token, table.rightsOf(token), command, workspace)
    if (denial !== null) this.digest.absorb(denial.type === 'forbidden' ? FORBIDDEN : UNAUTHENTICATED_OUTCOME)
    return denial
  }

  /** The name of the token under which `command` was asked for, which is not refused; empty: there is none. */
  holderOf(command: Command): string {
    return this.present === null ? '' : (tokenOf(command, this.present)?.name ?? '')
  }

  execute(command: AuthCommand, revision: number, workspace: Workspace): AuthResult {
    const { present: table } = this
    if (command.type === 'auth-bootstrap')
      return table === null ? this.begin(command, revision, workspace) : this.unchanged({ type: 'auth-begun-before' })
    if (table === null) return this.unchanged({ type: 'auth-not-begun' })
    switch (command.type) {
      case 'role-put':
        return this.putRole(table, command.role, revision, workspace)
      case 'role-delete':
        return this.deleteRole(table, command.name, revision, workspace)
      case 'token-create':
        return this.createToken(table, command, revision, workspace)
      case 'token-delete':
        return this.deleteToken(table, command.id, revision, workspace)
      case 'auth-reset':
        return this.reset(workspace)
    }
  }

  private begin({ name, hash }: AuthBootstrapCommand, revision: number, workspace: Workspace): AuthResult {
    const unlimited = { expiresAt: null, requestsPerSecond: null, bytesPerSecond: null, certificateName: null }
    const token = { id: revision, name, roles: [ADMIN_ROLE], ...unlimited, hash }
    const table = new AuthTable(revision, new Map([[ADMIN_ROLE, EVERYTHING]]), new Map([[revision, token]]))
    return this.change(table, { type: 'auth-begun', id: revision }, workspace)
  }

  private putRole(table: AuthTable, role: Role, revision: number, workspace: Workspace): AuthResult {
    const isNew = !table.roles.has(role.name)
    if (isNew && table.roles.size >= limits.auth.rolesMax)
      return this.unchanged({ type: 'auth-full', what: 'roles', limit: limits.auth.rolesMax })
    const roles = new Map(table.roles).set(role.name, role)
    return this.change(new AuthTable(revision, roles, table.tokens), { type: 'role-put', isNew }, workspace)
  }

  private deleteRole(table: AuthTable, name: string, revision: number, workspace: Workspace): AuthResult {
    const roles = new Map(table.roles)
    if (!roles.delete(name)) return this.unchanged({ type: 'role-not-found', role: name })
    const tokens = table.holdersOf(name)
    if (tokens > 0) return this.unchanged({ type: 'role-in-use', role: name, tokens })
    return this.change(new AuthTable(revision, roles, table.tokens), { type: 'role-deleted' }, workspace)
  }

  private createToken(
    table: AuthTable,
    { created }: TokenCreateCommand,
    revision: number,
    workspace: Workspace,
  ): AuthResult {
    const unknown = created.roles.find((role) => !table.roles.has(role))
    if (unknown !== undefined) return this.unchanged({ type: 'unknown-role', role: unknown })
    const twin = table.withHash(created.hash)
    if (twin !== null)
      return this.unchanged(
        created.certificateName === null ? { type: 'secret-in-use' } : { type: 'certificate-in-use', id: twin.id },
      )
    if (table.tokens.size >= limits.auth.tokensMax)
      return this.unchanged({ type: 'auth-full', what: 'tokens', limit: limits.auth.tokensMax })
    const tokens = new Map(table.tokens).set(revision, { ...created, id: revision })
    return this.change(new AuthTable(revision, table.roles, tokens), { type: 'token-created', id: revision }, workspace)
  }

  private deleteToken(table: AuthTable, id: number, revision: number, workspace: Workspace): AuthResult {
    const tokens = new Map(table.tokens)
    if (!tokens.delete(id)) return this.unchanged({ type: 'token-not-found', id })
    return this.change(new AuthTable(revision, table.roles, tokens), { type: 'token-deleted' }, workspace)
  }

  private reset(workspace: Workspace): AuthResult {
    workspace.remove(AUTH_ROW)
    this.present = null
    this.digest.absorb(RESET)
    return { type: 'auth-reset' }
  }

  /** `next` takes the place of the present table, unless it would lock everybody out or is too large. */
  private change(next: AuthTable, result: AuthResult, workspace: Workspace): AuthResult {
    if (!next.hasAdmin) return this.unchanged({ type: 'last-admin' })
    const bytes = encodeAuthTable(next)
    const { tableBytesMax } = limits.auth
    if (bytes.length > tableBytesMax) return this.unchanged({ type: 'auth-full', what: 'bytes', limit: tableBytesMax })
    workspace.put(AUTH_ROW, bytes)
    this.present = next
    this.digest.absorb(CHANGED)
    this.digest.absorbBytes(bytes)
    return result
  }

  private unchanged(result: AuthResult): AuthResult {
    this.digest.absorb(UNCHANGED)
    this.digest.absorbText(result.type)
    return result
  }

  private refuseHolder(token: AccessToken, rights: Rights, command: Command, workspace: Workspace): Denial | null {
    const missing = needsOf(command).find(
      (need) => !allows(rights, need) || ('lease' in need && !this.mayRule(token, rights, need.lease, workspace)),
    )
    return missing === undefined ? null : { type: 'forbidden', missing }
  }

  /**
   * Whether a token may keep a lease alive, end it, and attach keys to it. All of these change keys that others may have attached, and a lease
   * can have very many. So a lease belongs to the holder of the token that it was granted to, and nobody else attaches keys to it. That of a
   * single key belongs to those who may write the key. One that was granted before there were tokens, to those who may write every key.
   */
  private mayRule(token: AccessToken, rights: Rights, id: number, workspace: Workspace): boolean {
    const lease = this.ledger.find(id, workspace)
    if (lease === null || rights.may('write', { start: null, end: null })) return true
    return lease.use.type === 'key' ? rights.may('write', rangeOfKey(lease.use.key)) : lease.grantee === token.name
  }
}

function tokenOf({ token }: Command, table: AuthTable): AccessToken | null {
  return token === undefined ? null : (table.tokens.get(token) ?? null)
}

/** The level is raised by nodes alone, and whether a cluster has its first token is for the execution to see. */
function needsNobody({ type }: Command): boolean {
  return type === 'raise-level' || type === 'auth-bootstrap'
}
