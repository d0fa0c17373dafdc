import { Raft, checkSilence, checkState, checkStep } from '../../../src/raft/index.ts'
import type { Effects, RaftView } from '../../../src/raft/index.ts'
import type { CoreStep } from './core-step.ts'

export type RaftParts = ConstructorParameters<typeof Raft>

/** The production core, observed after every step. */
export class ObservedRaft extends Raft {
  private readonly onStep: (step: CoreStep) => void
  private before: RaftView | null = null

  constructor(onStep: (step: CoreStep) => void, ...parts: RaftParts) {
    super(...parts)
    this.onStep = onStep
  }

  override takeEffects(): Effects {
    const effects = this.plant(super.takeEffects())
    checkSilence(super.takeEffects())
    const view = this.view()
    this.check(this.before, view)
    this.onStep({ raft: this, effects, view, before: this.before })
    this.before = view
    return effects
  }

  /** Overridden by planted bugs to change the effects of the core. */
  protected plant(effects: Effects): Effects {
    return effects
  }

  protected check(before: RaftView | null, after: RaftView): void {
    checkState(this)
    if (before !== null) checkStep(before, after)
  }
}
