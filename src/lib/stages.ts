/**
 * The stages of a request, in their order.
 *
 * | stage   | until                                                                                       |
 * | ------- | ------------------------------------------------------------------------------------------- |
 * | body    | the client has sent its body                                                                |
 * | leader  | a leader is known and the request is on its way to it                                       |
 * | forward | the entry of a write that another node leads has arrived here                               |
 * | queue   | the write to the log that holds the entry begins                                            |
 * | sync    | that write is synced, or a majority has it already                                          |
 * | commit  | this node knows that a majority has it                                                      |
 * | confirm | the leader of a read has shown that it still leads                                          |
 * | apply   | the entry, or everything that a read must see, is applied here                              |
 * | wait    | what the request asked to wait for has come: a lock, a revision                             |
 * | answer  | the answer begins: rows are read, the answer is made                                        |
 */
const stages = ['body', 'leader', 'forward', 'queue', 'sync', 'commit', 'confirm', 'apply', 'wait', 'answer'] as const

export type Stage = (typeof stages)[number]

/** The moment at which a stage was over; null: it is not, or nobody knows. */
export interface StageEnd {
  readonly stage: Stage
  readonly at: number | null
}

/** A part of the work on a request: a write, a read, a wait. */
export interface Step {
  /**
   * When the stages of the step were over, in order, in milliseconds of the node's clock. The first that is not takes all the rest. Where
   * several requests share a step, `number` tells which of them is meant; left out: that is not known.
   */
  ends(number?: number): readonly StageEnd[]
}

export type StageTimes = ReadonlyMap<Stage, number>

/** The client takes the time of these, or has asked for it. */
const OF_CLIENT: ReadonlySet<Stage> = new Set(['body', 'wait'])
export const countedStages: readonly Stage[] = stages.filter((stage) => !OF_CLIENT.has(stage))

/** How long a request was in each stage, in milliseconds. */
export class StageSums {
  private readonly sums = new Map<Stage, number>()
  /** Everything before this moment is added up. */
  private upTo: number

  constructor(startedAt: number) {
    this.upTo = startedAt
  }

  get times(): StageTimes {
    return this.sums
  }

  /** Without what the client takes or has asked for. */
  get countedMs(): number {
    let ms = 0
    for (const [stage, spent] of this.sums) if (!OF_CLIENT.has(stage)) ms += spent
    return ms
  }

  /** The stage that took longest, of those that count. */
  get longest(): Stage {
    let [longest, most]: readonly [Stage, number] = ['answer', 0]
    for (const [stage, spent] of this.sums) if (spent > most && !OF_CLIENT.has(stage)) [longest, most] = [stage, spent]
    return longest
  }

  /** Adds the stages that end one after the other. A moment that is known to lie before one that is added already takes no time. */
  add(ends: readonly StageEnd[], now: number): void {
    for (const { stage, at } of ends) {
      this.spend(stage, at ?? now)
      if (at === null) return
    }
  }

  private spend(stage: Stage, until: number): void {
    this.sums.set(stage, (this.sums.get(stage) ?? 0) + Math.max(0, until - this.upTo))
    this.upTo = Math.max(this.upTo, until)
  }
}

/** A step that is a single stage. */
export function stepOf(stage: Stage, at: number | null): Step {
  return { ends: () => [{ stage, at }] }
}
