import type { Watch, WatchAccess, WatchOptions } from '../../api/services.ts'
import { HISTORY_LEVEL } from '../../kv/index.ts'
import type { Replica } from '../replica.ts'
import { compacted } from '../watches/watch-hub.ts'
import { futureRevision } from './read-gate.ts'
import type { Serving } from './serving.ts'

export interface WatchesDependencies {
  readonly replica: Replica
  readonly serving: Serving
  readonly id: number
}

/** Opens watches, on any node. */
export class Watches implements WatchAccess {
  private readonly deps: WatchesDependencies

  constructor(deps: WatchesDependencies) {
    this.deps = deps
  }

  /**
   * Before the level of history a removed range is not read, so that nobody could be told what it held: there are no watches until then.
   *
   * A watch of the past needs nobody else: every node has it. One that begins now, or with a revision that this node has not reached, asks
   * the leader what is committed, and waits until that is applied here. So does every one once there are tokens, or may be.
   */
  async open(options: WatchOptions): Promise<Watch> {
    const { replica, serving, id } = this.deps
    const { watches, applier, raft, features } = replica
    serving.check()
    watches.checkRoom()
    const { since, timeoutMs, caller = null } = options
    const leftMs = await features.require(HISTORY_LEVEL, timeoutMs, caller)
    const { guard } = options
    const isGuarded = guard !== undefined && replica.permissions.mustAsk
    const asks = since === null || since > applier.revision || isGuarded
    if (asks) await replica.reads.barrier(leftMs, caller)
    guard?.check()
    const { revision, compactedRevision } = applier
    const context = {
      revision,
      servedBy: id,
      leader: raft.leader,
      consistency: asks ? 'linearizable' : 'stale',
    } as const
    if (since !== null && since > revision) {
      throw futureRevision(
        `nothing has revision ${since} yet: the store is at ${revision}; watch from there, or from a revision that an answer named`,
        context,
      )
    }
    if (since !== null && since < compactedRevision) throw compacted(since, compactedRevision).reflecting(context)
    const from = since ?? revision
    const watcher = watches.open(options, from)
    return {
      context: { ...context, revision: from },
      next: (bytesMax) => watcher.next(bytesMax),
      close: () => watcher.close(),
    }
  }
}
