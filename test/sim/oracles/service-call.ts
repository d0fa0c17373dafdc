import { RequestError } from '../../../src/lib/errors.ts'
import type { RaftView } from '../../../src/raft/index.ts'
import { indexOf, sameLogId } from '../../../src/raft/index.ts'
import type { LeaderWord, Request } from '../history/operation.ts'
import type { Machine } from '../machines/machine.ts'
import type { SimProcess } from '../world/process.ts'
import { Violation } from '../world/violation.ts'
import type { World } from '../world/world.ts'

/**
 * What a node owes to a request for data: one that knew when the request came that it was removed answers so, to every consistency; and
 * a bound on the age of a stale read holds in the world's time, whatever was told to the node, and whatever kept it from listening.
 */
export class ServiceCall {
  private readonly machine: Machine
  private readonly process: SimProcess
  private readonly request: Request
  private readonly electionTimeoutMsMax: number
  private readonly before: RaftView | null
  /** On the node's clock and on the world's. */
  private readonly calledAt: number
  private readonly worldAt: number
  private readonly isRemoved: boolean

  constructor(
    { request, electionTimeoutMsMax }: { readonly request: Request; readonly electionTimeoutMsMax: number },
    { machine, process, world }: { readonly machine: Machine; readonly process: SimProcess; readonly world: World },
  ) {
    this.machine = machine
    this.process = process
    this.request = request
    this.electionTimeoutMsMax = electionTimeoutMsMax
    this.before = machine.view
    this.calledAt = process.clock.now()
    this.worldAt = world.now()
    this.isRemoved = this.knowsRemoval() || this.saidRemoved()
  }

  /** The node answers now. Returns the moment of the world's time from before which the answer has to reflect everything; null for none. */
  answered(): number | null {
    if (this.isRemoved) this.fail('answers a request, though it knows that it was removed')
    const { request } = this
    if (request.type !== 'get' || request.maxStalenessMs === undefined) return null
    // Its clock may run at another speed, and that is all.
    return this.worldAt - request.maxStalenessMs / this.machine.clockRate
  }

  failed(error: unknown): void {
    const code = error instanceof RequestError ? error.code : String(error)
    if (code === 'removed' && this.machine.process === this.process) {
      const { view, heard } = this.machine
      this.machine.saidRemoved = { words: heard.length, effective: view?.effective.logId ?? null }
    }
    if (!this.isRemoved || code === 'removed' || code === 'shutting-down') return
    this.fail(`answers ${code}, though it knows that it was removed`)
  }

  /**
   * The membership without this node is committed, as far as it knows, and it is not being sent a log in which others have gone on: there
   * it may join. A leader leads its own removal to the end.
   */
  private knowsRemoval(): boolean {
    if (this.before === null) return false
    const { state, effective, committedMembership, last } = this.before
    const isKnown = effective.membership.configs.length > 0
    const isCommitted = indexOf(committedMembership.logId) >= indexOf(effective.logId)
    const isMember = state === 'leader' || effective.membership.nodes.has(this.machine.id)
    if (!isKnown || !isCommitted || isMember) return false
    return this.wordsWithin(this.electionTimeoutMsMax).every(({ committed }) => committed <= indexOf(last))
  }

  /** It was told by a peer, has said so, and no leader has spoken to it since. */
  private saidRemoved(): boolean {
    const { saidRemoved, heard } = this.machine
    if (saidRemoved === null || this.before === null) return false
    return saidRemoved.words === heard.length && sameLogId(saidRemoved.effective, this.before.effective.logId)
  }

  /** What leaders said shortly before the request came, and since. */
  private wordsWithin(durationMs: number): LeaderWord[] {
    const { heard } = this.machine
    const before = heard.findLastIndex(({ at }) => at < this.calledAt - durationMs)
    return heard.slice(before + 1)
  }

  private fail(what: string): never {
    throw new Violation('service', `${this.process.name} ${what}`)
  }
}
