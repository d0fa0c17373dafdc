/** The outcome of a change of roles or tokens. The first six have changed something. */
export type AuthResult =
  /** From here on every request needs a token. `id`: of the first one. */
  | { readonly type: 'auth-begun'; readonly id: number }
  | { readonly type: 'role-put'; readonly isNew: boolean }
  | { readonly type: 'role-deleted' }
  | { readonly type: 'token-created'; readonly id: number }
  | { readonly type: 'token-deleted' }
  | { readonly type: 'auth-reset' }
  /** There are tokens. Nothing changed, nor does it in the cases that follow. */
  | { readonly type: 'auth-begun-before' }
  /** There are no tokens. */
  | { readonly type: 'auth-not-begun' }
  | { readonly type: 'role-not-found'; readonly role: string }
  /** So many tokens have it. */
  | { readonly type: 'role-in-use'; readonly role: string; readonly tokens: number }
  /** A token was to have a role that there is not. */
  | { readonly type: 'unknown-role'; readonly role: string }
  | { readonly type: 'token-not-found'; readonly id: number }
  /** Another token has the same secret. */
  | { readonly type: 'secret-in-use' }
  /** Certificates of this name stand for the token `id` already. */
  | { readonly type: 'certificate-in-use'; readonly id: number }
  /** No token without an end would be left that may change roles and tokens. */
  | { readonly type: 'last-admin' }
  | { readonly type: 'auth-full'; readonly what: 'roles' | 'tokens' | 'bytes'; readonly limit: number }
