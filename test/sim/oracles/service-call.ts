import { RequestError } from '../../../src/lib/errors.ts'
import type { RaftView } from '../../../src/raft/index.ts'
import { indexOf, sameLogId } from '../../../src/raft/index.ts'
import { pastRevisionOf, type Answer, type Request } from '../../../src/checker/operation.ts'
import type { LeaderWord } from '../history/operation.ts'
import type { Machine } from '../machines/machine.ts'
import type { SimProcess } from '../world/process.ts'
import { Violation } from '../world/violation.ts'
import type { World } from '../world/world.ts'

interface Called {
  readonly request: Request
  /** The hash of the secret that the client sends; null: none. Undefined in a run without tokens. */
  readonly secret?: string | null | undefined
  readonly electionTimeoutMsMax: number
}

/**
 * The answers that a node owes to requests for data. A node that knew, when the request came, that it was removed must answer so,
 * for every consistency. The bound on the age of a stale read must hold in the world's time, whatever the node was told and
 * whatever kept it from listening. What was compacted before, as far as the node has applied it, is refused.
 */
export class ServiceCall {
  private readonly machine: Machine
  private readonly process: SimProcess
  private readonly request: Request
  private readonly electionTimeoutMsMax: number
  private readonly secret: string | null | undefined
  private readonly before: RaftView | null
  /** The time of the request, on the node's clock and on the world's. */
  private readonly calledAt: number
  private readonly worldAt: number
  private readonly isRemoved: boolean
  /** The oldest revision that could be read when the request came. */
  private readonly oldestRevision: number

  constructor(
    { request, secret, electionTimeoutMsMax }: Called,
    { machine, process, world }: { readonly machine: Machine; readonly process: SimProcess; readonly world: World },
  ) {
    this.machine = machine
    this.process = process
    this.request = request
    this.electionTimeoutMsMax = electionTimeoutMsMax
    this.secret = secret
    this.before = machine.view
    this.calledAt = process.clock.now()
    this.worldAt = world.now()
    this.oldestRevision = machine.oldestRevision
    this.isRemoved = this.knowsRemoval() || this.saidRemoved()
  }

  /** The node has this answer, or this refusal that counts as one. */
  gave(answer: Answer): void {
    const revision = pastRevisionOf(this.request)
    if (revision === null || revision >= this.oldestRevision || answer.type === 'compacted') return
    this.fail(`shows revision ${revision}, though it has applied a compaction to ${this.oldestRevision}`)
  }

  /** The node answers now. Returns the moment of the world's time up to which the answer must reflect all operations; null for no bound. */
  answered(): number | null {
    if (this.isRemoved) this.fail('answers a request, though it knows that it was removed')
    const { request } = this
    if (request.type !== 'get' || request.maxStalenessMs === undefined) return null
    // Only the speed of its clock may differ.
    return this.worldAt - request.maxStalenessMs / this.machine.clockRate
  }

  failed(error: unknown): void {
    const code = error instanceof RequestError ? error.code : String(error)
    if (code === 'removed' && this.machine.process === this.process) {
      const { view, heard } = this.machine
      this.machine.saidRemoved = { words: heard.length, effective: view?.effective.logId ?? null }
    }
    if (!this.isRemoved || code === 'removed' || code === 'shutting-down') return
    // A client without a token is told so, whatever else is wrong.
    if (code === 'unauthenticated' && this.secret === null) return
    this.fail(`answers ${code}, though it knows that it was removed`)
  }

  /**
   * As far as the node knows, the membership without it is committed, and it is not being sent a log in which the others have
   * gone on: that log may add it again. A leader remains one until its own removal is finished.
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

  /** A peer told the node that it was removed, the node has said so, and no leader has spoken to it since. */
  private saidRemoved(): boolean {
    const { saidRemoved, heard } = this.machine
    if (saidRemoved === null || this.before === null) return false
    return saidRemoved.words === heard.length && sameLogId(saidRemoved.effective, this.before.effective.logId)
  }

  /** The words of leaders shortly before the request and after it. */
  private wordsWithin(durationMs: number): LeaderWord[] {
    const { heard } = this.machine
    const before = heard.findLastIndex(({ at }) => at < this.calledAt - durationMs)
    return heard.slice(before + 1)
  }

  private fail(what: string): never {
    throw new Violation('service', `${this.process.name} ${what}`)
  }
}
