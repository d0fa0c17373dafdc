import type {
  AccessToken,
  AuthCommand,
  AuthResult,
  ClusterRight,
  Command,
  Denial,
  Grant,
  Key,
  Need,
  Condition,
  Operation,
  Role,
} from '../../../src/kv/index.ts'
import { endOfPrefix } from '../../../src/kv/index.ts'
import type { KeyRange } from '../../../src/kv/records.ts'
import { limits } from '../../../src/limits.ts'
import type { LeaseModel } from './lease-model.ts'

/** Roles and tokens as of one revision. It changes no more. */
export interface ModelAuth {
  readonly revision: number
  readonly roles: ReadonlyMap<string, Role>
  readonly tokens: ReadonlyMap<number, AccessToken>
}

/** What the entry at `index` has made of roles and tokens, for all entries up to the next of these; null: there are none. */
export interface AuthVersion {
  readonly index: number
  readonly auth: ModelAuth | null
}

const ADMIN = 'admin'
const ALL_RIGHTS: readonly ClusterRight[] = ['cluster:read', 'cluster:admin', 'auth:admin']

/** Roles and tokens as the documents describe them, on plain maps. */
export class AuthModel {
  /** All that there ever was, in the order of the log. */
  readonly versions: AuthVersion[] = [{ index: -1, auth: null }]
  private readonly leases: Pick<LeaseModel, 'leases'>

  constructor(leases: Pick<LeaseModel, 'leases'>) {
    this.leases = leases
  }

  get present(): ModelAuth | null {
    return this.versions.at(-1)?.auth ?? null
  }

  /** The name of the token behind `command`; empty: there is none. */
  nameBehind({ token }: Command): string {
    return token === undefined ? '' : (this.present?.tokens.get(token)?.name ?? '')
  }

  refuse(command: Command): Denial | null {
    const { present } = this
    const isFree = command.type === 'raise-level' || command.type === 'auth-bootstrap'
    if (present === null || command.token === 0 || isFree) return null
    const token = command.token === undefined ? undefined : present.tokens.get(command.token)
    if (token === undefined) return { type: 'unauthenticated' }
    const missing = neededBy(command).find((need) => !this.has(present, token, need))
    return missing === undefined ? null : { type: 'forbidden', missing }
  }

  execute(command: AuthCommand, index: number): AuthResult {
    const { present } = this
    if (command.type === 'auth-bootstrap') {
      if (present !== null) return { type: 'auth-begun-before' }
      const everything: Grant = { access: 'read-write', keys: { type: 'prefix', prefix: '' } }
      const roles = new Map([[ADMIN, { name: ADMIN, grants: [everything], rights: ALL_RIGHTS }]])
      const { name, hash } = command
      const none = { expiresAt: null, requestsPerSecond: null, bytesPerSecond: null, certificateName: null }
      const token = { id: index, name, roles: [ADMIN], ...none, hash }
      return this.put({ revision: index, roles, tokens: new Map([[index, token]]) }, { type: 'auth-begun', id: index })
    }
    if (present === null) return { type: 'auth-not-begun' }
    if (command.type !== 'auth-reset') return this.change(present, command, index)
    this.versions.push({ index, auth: null })
    return { type: 'auth-reset' }
  }

  private change(
    { roles, tokens }: ModelAuth,
    command: Exclude<AuthCommand, { type: 'auth-bootstrap' | 'auth-reset' }>,
    index: number,
  ): AuthResult {
    switch (command.type) {
      case 'role-put': {
        const isNew = !roles.has(command.role.name)
        if (isNew && roles.size === limits.auth.rolesMax)
          return { type: 'auth-full', what: 'roles', limit: limits.auth.rolesMax }
        const changed = new Map(roles).set(command.role.name, command.role)
        return this.put({ revision: index, roles: changed, tokens }, { type: 'role-put', isNew })
      }
      case 'role-delete': {
        const { name } = command
        if (!roles.has(name)) return { type: 'role-not-found', role: name }
        const having = [...tokens.values()].filter((token) => token.roles.includes(name)).length
        if (having > 0) return { type: 'role-in-use', role: name, tokens: having }
        const left = new Map([...roles].filter(([one]) => one !== name))
        return this.put({ revision: index, roles: left, tokens }, { type: 'role-deleted' })
      }
      case 'token-create': {
        const { created } = command
        for (const role of created.roles) if (!roles.has(role)) return { type: 'unknown-role', role }
        const twin = [...tokens.values()].find(({ hash }) => hash === created.hash)
        if (twin !== undefined)
          return created.certificateName === null
            ? { type: 'secret-in-use' }
            : { type: 'certificate-in-use', id: twin.id }
        if (tokens.size === limits.auth.tokensMax)
          return { type: 'auth-full', what: 'tokens', limit: limits.auth.tokensMax }
        const more = new Map(tokens).set(index, { ...created, id: index })
        return this.put({ revision: index, roles, tokens: more }, { type: 'token-created', id: index })
      }
      case 'token-delete': {
        const { id } = command
        if (!tokens.has(id)) return { type: 'token-not-found', id }
        const left = new Map([...tokens].filter(([one]) => one !== id))
        return this.put({ revision: index, roles, tokens: left }, { type: 'token-deleted' })
      }
    }
  }

  private put(next: ModelAuth, result: AuthResult): AuthResult {
    const isAdmin = (token: AccessToken): boolean =>
      token.expiresAt === null && rolesOf(next, token).some(({ rights }) => rights.includes('auth:admin'))
    if (![...next.tokens.values()].some(isAdmin)) return { type: 'last-admin' }
    this.versions.push({ index: next.revision, auth: next })
    return result
  }

  private has(auth: ModelAuth, token: AccessToken, need: Need): boolean {
    if (!('lease' in need)) return hasRight(auth, token, need)
    const lease = this.leases.leases.get(need.lease)
    if (lease === undefined || hasRight(auth, token, { access: 'write', range: { start: null, end: null } }))
      return true
    if (lease.use !== 'key') return lease.grantee === token.name
    return [...lease.keys].every((key) => hasRight(auth, token, { access: 'write', key }))
  }
}

/** Whether `token` may do what `need` says. Of a lease it says nothing: that depends on the lease. */
export function hasRight(auth: ModelAuth, token: AccessToken, need: Need): boolean {
  const roles = rolesOf(auth, token)
  if ('lease' in need) return true
  if ('right' in need) {
    const rights = roles.flatMap((role) => role.rights)
    return rights.includes(need.right) || (need.right === 'cluster:read' && rights.includes('cluster:admin'))
  }
  const grants = roles.flatMap((role) => role.grants)
  const fitting = grants.filter(({ access }) => access === 'read-write' || access === need.access)
  if ('any' in need) return fitting.length > 0
  const { start, end } = 'key' in need ? { start: need.key, end: `${need.key}\0` } : need.range
  // A range is covered if its first key is, and each key at which some grant ends.
  const isInside = (point: string): boolean => point >= (start ?? '') && (end === null || point < end)
  const edges = fitting.flatMap((grant) => boundsOf(grant).end ?? []).filter(isInside)
  const isCovered = (point: string): boolean => fitting.some((grant) => isWithin(point, boundsOf(grant)))
  return [start ?? '', ...edges].every(isCovered)
}

function isWithin(point: string, bounds: KeyRange): boolean {
  return point >= (bounds.start ?? '') && (bounds.end === null || point < bounds.end)
}

function boundsOf({ keys }: Grant): KeyRange {
  if (keys.type === 'range') return keys
  if (keys.type === 'key') return { start: keys.key, end: `${keys.key}\0` as Key }
  return keys.prefix === '' ? { start: null, end: null } : { start: keys.prefix, end: endOfPrefix(keys.prefix) }
}

function rolesOf({ roles }: ModelAuth, token: AccessToken): Role[] {
  return token.roles.flatMap((name) => roles.get(name) ?? [])
}

/** What a token needs for `command`, in the order in which it is looked at. */
export function neededBy(command: Command): Need[] {
  switch (command.type) {
    case 'put':
      return [...neededByWrite(command), ...(command.lease?.type === 'granted' ? [{ lease: command.lease.id }] : [])]
    case 'delete':
      return neededByWrite(command)
    case 'delete-range':
      return [{ access: 'write', range: { start: command.start, end: command.end } }]
    case 'transaction':
      return [
        ...command.compares.map(({ key }): Need => ({ access: 'read', key })),
        ...[...command.success, ...command.failure].flatMap(neededByOperation),
      ]
    case 'compaction':
    case 'retention':
      return [{ right: 'cluster:admin' }]
    case 'lease-grant':
      return [{ access: 'write', any: true }]
    case 'lease-renew':
    case 'lease-revoke':
      return [{ access: 'write', any: true }, { lease: command.id }]
    case 'lock-acquire':
      return [{ access: 'write', key: command.name }]
    case 'lock-release':
      return [{ access: 'write', key: command.name }, { lease: command.lease }]
    case 'raise-level':
    case 'auth-bootstrap':
      return []
    default:
      return [{ right: 'auth:admin' }]
  }
}

function neededByOperation(operation: Operation): Need[] {
  switch (operation.type) {
    case 'get':
      return [{ access: 'read', key: operation.key }]
    case 'list':
      return [{ access: 'read', range: { start: operation.start, end: operation.end } }]
    case 'delete-range':
      return [{ access: 'write', range: { start: operation.start, end: operation.end } }]
    case 'delete':
      return neededByWrite(operation)
    case 'put':
      return [...neededByWrite(operation), ...(operation.lease === undefined ? [] : [{ lease: operation.lease }])]
  }
}

interface Write {
  readonly key: Key
  readonly wantsPrevious: boolean
  /** An operation of a transaction has none. */
  readonly condition?: Condition | null
}

/** Whoever is told of the record that was there, or whether it was, reads it. */
function neededByWrite({ key, wantsPrevious, condition = null }: Write): Need[] {
  const isTold = wantsPrevious || condition !== null
  return [{ access: 'write', key }, ...(isTold ? [{ access: 'read', key } as const] : [])]
}

/** How a stored table of roles and tokens differs from `expected`; null when it does not. `seen` null: there is none. */
export function authFault(seen: ModelAuth | null, expected: ModelAuth | null): string | null {
  const [one, other] = [textOf(seen), textOf(expected)]
  return one === other ? null : `has the roles and tokens ${one}, not ${other}`
}

function textOf(auth: ModelAuth | null): string {
  if (auth === null) return 'none'
  const roles = [...auth.roles]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { grants, rights }]) => [name, grants, [...rights].sort()])
  const tokens = [...auth.tokens]
    .sort(([a], [b]) => a - b)
    .map(([id, token]) => [id, token.name, token.roles, token.expiresAt, token.hash])
  return JSON.stringify([auth.revision, roles, tokens])
}
