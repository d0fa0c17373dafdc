import type { AuthResult } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'

type Refusal = Exclude<
  AuthResult,
  { type: 'auth-begun' | 'role-put' | 'role-deleted' | 'token-created' | 'token-deleted' | 'auth-reset' }
>

/** The failure behind a change of roles or tokens that has changed nothing. */
export function refusalOfChange(result: Refusal): RequestError {
  switch (result.type) {
    case 'auth-begun-before':
      return new RequestError(result.type, 'this cluster has tokens: use one that may change roles and tokens')
    case 'auth-not-begun':
      return authNotBegun()
    case 'role-not-found':
      return roleNotFound(result.role)
    case 'role-in-use': {
      const { role, tokens } = result
      const detail = `${tokens === 1 ? 'a token has' : `${tokens} tokens have`} the role ${role}: revoke them first`
      return new RequestError(result.type, detail, { tokens })
    }
    case 'unknown-role': {
      const { role } = result
      return new RequestError(result.type, `there is no role ${role}; nothing was made: make the role first`, { role })
    }
    case 'token-not-found':
      return tokenNotFound(result.id)
    case 'secret-in-use':
      return new RequestError('outcome-unknown', 'a token with this very secret is there: look for it in the list')
    case 'certificate-in-use': {
      const { id } = result
      const detail = `certificates of this name stand for token ${id} already; nothing was made: revoke that one first`
      return new RequestError(result.type, detail, { id })
    }
    case 'last-admin':
      return new RequestError(
        result.type,
        'no token without an end would be left that may change roles and tokens; nothing was changed: make another one first',
      )
    case 'auth-full': {
      const { what, limit } = result
      const most = what === 'bytes' ? `${limit / 1024} KiB of roles and tokens` : `${limit} ${what}`
      return new RequestError(result.type, `a cluster has ${most} at most; nothing was changed: delete some`, {
        what,
        limit,
      })
    }
  }
}

export function authNotBegun(): RequestError {
  return new RequestError(
    'auth-not-begun',
    'this cluster has no tokens, and everybody may do everything: POST /auth/bootstrap makes the first one',
  )
}

export function roleNotFound(role: string): RequestError {
  return new RequestError('role-not-found', `there is no role ${role}`, { role })
}

export function tokenNotFound(id: number): RequestError {
  return new RequestError('token-not-found', `there is no token ${id}: it was revoked, has expired, or never was`, {
    id,
  })
}
