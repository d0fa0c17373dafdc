import {
  allows,
  denialError,
  needsOf,
  NODE_ITSELF,
  UNAUTHENTICATED,
  type AccessToken,
  type AuthTable,
  type Command,
  type Denial,
  type Need,
} from '../../kv/index.ts'
import { toError } from '../../lib/to-error.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Faults } from '../options.ts'

export interface PermissionsDependencies {
  /** The roles and tokens, as of everything applied; null: there are none. */
  readonly applier: { readonly auth: AuthTable | null }
  readonly clock: Pick<Clock, 'wall'>
  readonly faults: Faults
  /** Both tell whether this process has ever known its state to be recent. */
  readonly reads: { readonly hasPassed: boolean }
  readonly freshness: { readonly freshAt: number | null }
}

/**
 * Who may do what, as this node knows it: it may be behind, so that others know better. The machine decides about every write again, when it is
 * executed. Reads ask here once the state of the node is as recent as they want it.
 */
export class Permissions {
  private readonly deps: PermissionsDependencies
  private readonly listeners = new Set<() => void>()
  private told: AuthTable | null

  constructor(deps: PermissionsDependencies) {
    this.deps = deps
    this.told = deps.applier.auth
  }

  get table(): AuthTable | null {
    return this.deps.applier.auth
  }

  /**
   * Whether the leader has to be asked before somebody is given what does not get old: there are tokens, or there may be, and the state of this
   * node, which has just started or is still being sent, comes from before the first one.
   */
  get mustAsk(): boolean {
    const { reads, freshness } = this.deps
    return this.table !== null || !(reads.hasPassed || freshness.freshAt !== null)
  }

  /** The token whose secret has this hash; null: there is none, or its time is up. */
  tokenWith(hash: string): AccessToken | null {
    const token = this.table?.withHash(hash) ?? null
    return token === null || this.isOver(token) ? null : token
  }

  /** Why a client with this token may not do all of `needs`; null when it may. `token` null: it has none. */
  refuse(token: AccessToken | null, needs: readonly Need[]): Denial | null {
    const { table } = this
    if (table === null) return null
    if (token === null || !table.tokens.has(token.id) || this.isOver(token)) return UNAUTHENTICATED
    const rights = table.rightsOf(token)
    const missing = needs.find((need) => !allows(rights, need))
    return missing === undefined ? null : { type: 'forbidden', missing }
  }

  /** The same for a command, as far as it can be said before it is executed. */
  refuseCommand(command: Command): Denial | null {
    const { table } = this
    if (table === null || command.token === NODE_ITSELF || command.type === 'auth-bootstrap') return null
    const token = command.token === undefined ? null : (table.tokens.get(command.token) ?? null)
    return this.refuse(token, needsOf(command))
  }

  /** Throws `RequestError`. */
  require(token: AccessToken | null, needs: readonly Need[]): void {
    const denial = this.refuse(token, needs)
    if (denial !== null) throw denialError(denial)
  }

  /** `listener` is called after each change of roles and tokens, before this node tells anybody of a later one. Returns how to end that. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** To be called when entries are applied, or another state was installed. Returns whether roles or tokens have changed. */
  look(): boolean {
    const { auth } = this.deps.applier
    if (auth === this.told) return false
    this.told = auth
    for (const listener of this.listeners) this.tell(listener)
    return true
  }

  private tell(listener: () => void): void {
    try {
      listener()
    } catch (error) {
      this.deps.faults.report(toError(error))
    }
  }

  private isOver({ expiresAt }: AccessToken): boolean {
    return expiresAt !== null && expiresAt <= this.deps.clock.wall()
  }
}
