import type { GrantView, RoleBody, RoleView, TokenView } from '../../api/auth.ts'
import { keyToText, type AccessToken, type Grant, type GrantedKeys, type Key, type Role } from '../../kv/index.ts'
import { requireKey } from '../protocol/parameters.ts'
import { invalidRequest, type Issue } from '../protocol/query.ts'

export function roleView({ name, grants, rights }: Role): RoleView {
  return { name, grants: grants.map(grantView), rights: [...rights] }
}

export function grantView({ access, keys }: Grant): GrantView {
  switch (keys.type) {
    case 'key':
      return { access, key: keyToText(keys.key) }
    case 'prefix':
      return { access, prefix: keys.prefix === '' ? '' : keyToText(keys.prefix) }
    case 'range':
      return {
        access,
        ...(keys.start === null ? {} : { start: keyToText(keys.start) }),
        ...(keys.end === null ? {} : { end: keyToText(keys.end) }),
      }
  }
}

export function tokenView(token: AccessToken): TokenView {
  const { id, name, roles, expiresAt, requestsPerSecond, bytesPerSecond, certificateName } = token
  const ends = expiresAt === null ? null : new Date(expiresAt).toISOString()
  return { id, name, roles: [...roles], expiresAt: ends, requestsPerSecond, bytesPerSecond, certificateName }
}

/** The role that a body describes. Throws a `RequestError` that names every mistake. */
export function roleFrom(name: string, { grants = [], rights = [] }: RoleBody): Role {
  const issues: Issue[] = []
  const found = grants.flatMap((view, at): readonly Grant[] => {
    const message = mistakeIn(view)
    if (message === null) return [{ access: view.access, keys: keysOf(view) }]
    issues.push({ path: `body/grants/${at}`, message })
    return []
  })
  if (issues.length > 0) throw invalidRequest(...issues)
  return { name, grants: found, rights }
}

function mistakeIn({ key, prefix, start, end }: GrantView): string | null {
  const hasRange = start !== undefined || end !== undefined
  const given = [key !== undefined, prefix !== undefined, hasRange].filter(Boolean).length
  if (given === 0) return 'names no keys: give key, prefix, or start and end; an empty prefix is every key'
  if (given > 1) return 'must name its keys in one way: key, or prefix, or start and end'
  if (start === undefined || end === undefined || requireKey(start) < requireKey(end)) return null
  return 'is an empty range: start must be below end'
}

function keysOf({ key, prefix, start, end }: GrantView): GrantedKeys {
  if (key !== undefined) return { type: 'key', key: requireKey(key) }
  if (prefix !== undefined) return { type: 'prefix', prefix: prefix === '' ? '' : requireKey(prefix) }
  const bound = (text: string | undefined): Key | null => (text === undefined ? null : requireKey(text))
  return { type: 'range', start: bound(start), end: bound(end) }
}
