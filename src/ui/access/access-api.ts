import type { RoleView, SelfAnswer, TokenView } from '../../client/api-types.ts'
import { ProblemError, type Problem } from '../api/problem.ts'
import { sendFor, sendForJson, sendForText } from '../api/request.ts'

/** Who may do what, as the cluster has it. */
export interface AccessTable {
  readonly kind: 'table'
  readonly roles: readonly RoleView[]
  /** The oldest first. Nobody but its holder knows the secret of one. */
  readonly tokens: readonly TokenView[]
  /** That of the last change of roles or tokens. */
  readonly revision: number
  /** The token with which this page asks. */
  readonly own: TokenView | null
  /** When this was told, by the clock of the node. */
  readonly at: number
}

/** What a token is told that may not see the others. */
export interface OwnAccess {
  readonly kind: 'own'
  readonly self: SelfAnswer
  /** Why it is not told more. */
  readonly refusal: Problem
  /** When this was told, by the clock of the node. */
  readonly at: number
}

/** `open`: there are no tokens, and everybody may do everything. */
type AccessAnswer = AccessTable | OwnAccess | { readonly kind: 'open' }

export async function readAccess(signal: AbortSignal): Promise<AccessAnswer> {
  const { self, at } = await sendFor({ path: '/auth/self', signal }, async (response) => {
    return { self: (await response.json()) as SelfAnswer, at: timeIn(response) }
  })
  if (!self.enabled) return { kind: 'open' }
  try {
    const { roles } = await sendForJson<Pick<AccessTable, 'roles'>>({ path: '/auth/roles', signal })
    const { tokens, revision } = await sendForJson<Pick<AccessTable, 'tokens' | 'revision'>>({
      path: '/auth/tokens',
      signal,
    })
    return { kind: 'table', roles, tokens, revision, own: self.token, at }
  } catch (error) {
    if (error instanceof ProblemError && error.code === 'forbidden')
      return { kind: 'own', self, refusal: error.problem, at }
    throw error
  }
}

/** The clock of a browser may be wrong by hours, and what ends, ends by that of a node. */
function timeIn({ headers }: Response): number {
  const time = Date.parse(headers.get('date') ?? '')
  return Number.isNaN(time) ? Date.now() : time
}

export async function revokeToken(id: number): Promise<void> {
  await sendForText({ method: 'DELETE', path: `/auth/tokens/${id}` })
}
