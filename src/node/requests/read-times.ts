import type { StageEnd, Step } from '../../lib/stages.ts'

/** Reads that share one question to the leader: a step of all of them. */
export class ReadTimes implements Step {
  private readonly askedAt: number
  confirmedAt: number | null = null
  releasedAt: number | null = null

  constructor(askedAt: number) {
    this.askedAt = askedAt
  }

  ends(): readonly StageEnd[] {
    return [
      { stage: 'leader', at: this.askedAt },
      { stage: 'confirm', at: this.confirmedAt },
      { stage: 'apply', at: this.releasedAt },
    ]
  }
}
