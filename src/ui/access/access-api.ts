import type { RoleView, SelfAnswer, TokenView } from '../../client/api-types.ts'
import { sendForJson, sendForText } from '../api/request.ts'

/** Who may do what, as the cluster has it. */
export interface AccessTable {
  readonly roles: readonly RoleView[]
  /** The oldest first. Nobody but its holder knows the secret of one. */
  readonly tokens: readonly TokenView[]
  /** That of the last change of roles or tokens. */
  readonly revision: number
  /** The token with which this page asks. */
  readonly own: TokenView | null
}

/** Null: there are no tokens, and everybody may do everything. */
export async function readAccess(signal: AbortSignal): Promise<AccessTable | null> {
  const self = await sendForJson<SelfAnswer>({ path: '/auth/self', signal })
  if (!self.enabled) return null
  const { roles } = await sendForJson<Pick<AccessTable, 'roles'>>({ path: '/auth/roles', signal })
  const { tokens, revision } = await sendForJson<Pick<AccessTable, 'tokens' | 'revision'>>({
    path: '/auth/tokens',
    signal,
  })
  return { roles, tokens, revision, own: self.token }
}

export async function revokeToken(id: number): Promise<void> {
  await sendForText({ method: 'DELETE', path: `/auth/tokens/${id}` })
}
