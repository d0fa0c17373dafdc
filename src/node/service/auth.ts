import type { Admission, AuthAccess, Bearer, Caller, Guard } from '../../api/services.ts'
import type { AccessToken, AuthTable, Need } from '../../kv/index.ts'
import { denialError, UNAUTHENTICATED } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { Permissions } from '../auth/permissions.ts'
import type { Reads } from '../requests/reads.ts'
import type { Serving } from './serving.ts'

export interface AuthDependencies {
  readonly permissions: Permissions
  readonly reads: Pick<Reads, 'barrier'>
  readonly raft: { readonly leader: unknown }
  readonly serving: Pick<Serving, 'check'>
}

/** Tokens and their rights, for the front. */
export class Auth implements AuthAccess {
  private readonly deps: AuthDependencies
  /** Denials that are being confirmed. */
  private confirming = 0

  constructor(deps: AuthDependencies) {
    this.deps = deps
  }

  get table(): AuthTable | null {
    return this.deps.permissions.table
  }

  /**
   * What is denied is looked at once more with a state that is recent: this node may not know yet what another one has granted. So is everything
   * on a node that may not have learned yet that there are tokens.
   */
  admit(
    hash: string | null,
    needs: readonly Need[],
    timeoutMs: () => number,
    caller: Caller | null,
  ): Admission | Promise<Admission> {
    const admission = this.look(hash, needs)
    const isUncertain = this.mayLackTokens || ('denied' in admission && hash !== null)
    if (!isUncertain) return admission
    if (this.confirming < limits.auth.confirmationsMax) return this.lookAgain(hash, needs, timeoutMs(), caller)
    const denied = new RequestError(
      'overloaded',
      'too many requests wait until their tokens are known; try again later',
    )
    return this.mayLackTokens ? { token: null, denied } : admission
  }

  tokenWith(hash: string): AccessToken | null {
    return this.deps.permissions.tokenWith(hash)
  }

  guard(bearer: Pick<Bearer, 'token'>, needs: readonly Need[]): Guard {
    const { permissions } = this.deps
    return { check: () => permissions.require(bearer.token, needs) }
  }

  async confirm(timeoutMs: number, caller: Caller | null): Promise<void> {
    const { serving, reads } = this.deps
    // One that was removed hears of no leader any more.
    serving.check()
    await reads.barrier(timeoutMs, caller)
  }

  onChange(listener: () => void): () => void {
    return this.deps.permissions.onChange(listener)
  }

  private look(hash: string | null, needs: readonly Need[]): Admission {
    const { permissions } = this.deps
    if (permissions.table === null) return { token: null }
    const token = hash === null ? null : permissions.tokenWith(hash)
    if (token === null) return { denied: denialError(UNAUTHENTICATED), token }
    const denial = permissions.refuse(token, needs)
    return denial === null ? { token } : { denied: denialError(denial), token }
  }

  /** Without a leader nobody could tell, and what shows and mends a cluster has to work. */
  private get mayLackTokens(): boolean {
    const { permissions, raft } = this.deps
    return permissions.table === null && permissions.mustAsk && raft.leader !== null
  }

  private async lookAgain(
    hash: string | null,
    needs: readonly Need[],
    timeoutMs: number,
    caller: Caller | null,
  ): Promise<Admission> {
    this.confirming += 1
    try {
      await this.confirm(Math.min(timeoutMs, limits.auth.confirmMs), caller)
    } catch (error) {
      // Without a leader, what this node knows has to do. Where there is one, it is this node that is late, and nothing is wrong with the token.
      if (!(error instanceof RequestError)) throw error
      if (error.code !== 'no-leader') return { token: null, denied: error }
    } finally {
      this.confirming -= 1
    }
    return this.look(hash, needs)
  }
}
