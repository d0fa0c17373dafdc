import type { AccessToken, Need } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogIndex, RaftView } from '../../raft/index.ts'
import type { Conditions } from './conditions.ts'

/** On whose behalf the leader is asked: a node's own, or that of a client, known by the hash of its secret; null: it has sent none. */
export type Behalf = 'node' | { readonly hash: string | null }

/** Leave to do what no command in the log stands for. */
export interface Warrant {
  /** Calls `act` in the very moment in which it is known that it is allowed. Rejects with `RequestError` when it is not, or not by `deadline`. */
  use<T>(act: () => T, deadline: number): Promise<T>
}

/** Nodes are trusted. */
export const WARRANT_OF_NODE: Warrant = { use: async (act) => act() }

export interface WarrantsDependencies {
  readonly clock: Pick<Clock, 'now'>
  readonly raft: { view(): RaftView }
  readonly applier: { readonly appliedIndex: LogIndex }
  readonly conditions: Pick<Conditions, 'until'>
  readonly permissions: {
    tokenWith(hash: string): AccessToken | null
    /** Throws `RequestError`. */
    require(token: AccessToken | null, needs: readonly Need[]): void
  }
}

/**
 * Makes sure on the leader that a client may do what it asks for: a change of the members is not decided by the machine, and the node that took
 * the request may be behind.
 *
 * The leader judges with everything applied that is committed, once its own first entry is. Then it knows each revocation that any node can
 * have answered. A leader that was deposed unawares may judge wrongly; nothing that it does then takes effect.
 */
export class Warrants {
  private readonly deps: WarrantsDependencies

  constructor(deps: WarrantsDependencies) {
    this.deps = deps
  }

  of(behalf: Behalf, needs: readonly Need[]): Warrant {
    if (behalf === 'node') return WARRANT_OF_NODE
    return {
      use: async (act, deadline) => {
        await this.catchUp(deadline)
        this.require(behalf.hash, needs)
        return act()
      },
    }
  }

  private require(hash: string | null, needs: readonly Need[]): void {
    const { permissions } = this.deps
    permissions.require(hash === null ? null : permissions.tokenWith(hash), needs)
  }

  private async catchUp(deadline: number): Promise<void> {
    const { clock, raft, conditions } = this.deps
    // The condition that ended the wait may no longer hold when this goes on.
    while (!this.isCurrent(raft.view())) {
      if (raft.view().state !== 'leader')
        throw new RequestError('no-leader', 'this node no longer leads; nothing was changed')
      const isOver = await conditions.until(
        (view) => view.state !== 'leader' || this.isCurrent(view),
        deadline - clock.now(),
      )
      if (!isOver)
        throw new RequestError(
          'not-ready',
          'the leader has not applied its log in time; nothing was changed, try again',
        )
    }
  }

  private isCurrent({ state, established, committed }: RaftView): boolean {
    return state === 'leader' && established && this.deps.applier.appliedIndex >= committed
  }
}
