import { limits } from '../../limits.ts'
import type { Refusal } from '../../ports/transport.ts'
import type { NodeId } from '../../raft/index.ts'
import type { Logger } from '../options.ts'
import { twoProcesses } from './refusals.ts'
import type { Warning } from './warnings.ts'

export interface DoublesDependencies {
  readonly now: () => number
  readonly logger: Logger
  /** Where the membership has a member, for peers; null for who is none. */
  readonly listedAt: (id: NodeId) => string | null
  /** Whether there is a connection to where the member is dialled. */
  readonly isConnected: (id: NodeId) => boolean
}

/** A call from where the membership has the member counts for this long while no connection to there stands. */
const NAMED_CALL_MS = 2_000

/**
 * Two processes under the id and the incarnation of one member: somebody has copied its data directory. Both would acknowledge entries
 * and vote as one voter. Told apart by where they say that they are, and only the one that the membership names is heard while it answers.
 * A member that has moved answers no more where it was, and is nobody's double.
 */
export class Doubles {
  private readonly deps: DoublesDependencies
  /** Where the process says it is that answers where a member is dialled. */
  private readonly answering = new Map<NodeId, string>()
  /** Where the process says it is on whose connection messages of a member come. */
  private readonly calling = new Map<NodeId, string>()
  /** When a member called last from where the membership has it. */
  private readonly namedAt = new Map<NodeId, number>()
  private readonly refused = new Map<NodeId, { readonly raft: string; readonly at: number; readonly detail: string }>()

  constructor(dependencies: DoublesDependencies) {
    this.deps = dependencies
  }

  /** Of a caller that is `id` by its incarnation and at `raft` by its own word: why it is not heard, if it is not. */
  refuse(id: NodeId, raft: string): Refusal | null {
    const listed = this.deps.listedAt(id)
    const there = this.placeOf(id)
    if (listed === null || there === null || raft === '' || raft === listed || raft === there) return null
    const refusal = twoProcesses(id, [there, raft], listed)
    const { detail } = refusal
    const isNews = this.warningOf(id)?.detail !== detail
    this.refused.set(id, { raft, at: this.deps.now(), detail })
    if (isNews) this.deps.logger.warn({ code: 'same-id', detail }, 'warning')
    return refusal
  }

  /** A caller has been let in. `forMessages`: those of the member come on its connection from now on. */
  onCall(id: NodeId, raft: string, forMessages: boolean): void {
    if (raft === '') return
    if (forMessages) this.calling.set(id, raft)
    if (raft === this.deps.listedAt(id)) this.namedAt.set(id, this.deps.now())
    if (this.refused.get(id)?.raft === raft) this.refused.delete(id)
  }

  /** The process where `id` is dialled says that it is at `raft`. */
  onAnswer(id: NodeId, raft: string): void {
    this.answering.set(id, raft)
  }

  /** Nobody listens where `id` is dialled. */
  onNobody(id: NodeId): void {
    this.namedAt.delete(id)
  }

  /** Whether messages of `id` come from the process that counts as it. */
  isHeard(id: NodeId): boolean {
    const calling = this.calling.get(id)
    const there = this.placeOf(id)
    return calling === undefined || there === null || calling === there || calling === this.deps.listedAt(id)
  }

  /** No membership names `id` any more. Its connections may stand for a while. */
  onLeft(id: NodeId): void {
    this.namedAt.delete(id)
    this.refused.delete(id)
  }

  /** Somebody else is met under this id. */
  onOther(id: NodeId): void {
    for (const known of [this.answering, this.calling, this.namedAt, this.refused]) known.delete(id)
  }

  forgetStrangers(isKept: (id: NodeId) => boolean): void {
    for (const known of [this.answering, this.calling]) for (const id of known.keys()) if (!isKept(id)) known.delete(id)
  }

  /** Of doubles that have called of late. */
  get warnings(): readonly Warning[] {
    return [...this.refused.keys()].flatMap((id) => this.warningOf(id) ?? [])
  }

  private warningOf(id: NodeId): Warning | null {
    const refused = this.refused.get(id)
    if (refused === undefined || this.deps.now() - refused.at > limits.doubleMsMax) return null
    return { code: 'same-id', detail: refused.detail }
  }

  /** Where the process is that counts as `id` at the moment; null when anybody may be it who has its incarnation. */
  private placeOf(id: NodeId): string | null {
    const answering = this.deps.isConnected(id) ? this.answering.get(id) : undefined
    if (answering !== undefined) return answering
    const namedAt = this.namedAt.get(id)
    return namedAt !== undefined && this.deps.now() - namedAt < NAMED_CALL_MS ? this.deps.listedAt(id) : null
  }
}
