import type { Membership, NodeId } from '../../../src/raft/index.ts'
import { sameLogId } from '../../../src/raft/index.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Machine } from '../machines/machine.ts'
import { Violation } from '../world/violation.ts'
import type { Oracle } from './oracle.ts'

/**
 * Nobody is removed because all machines stood still at once. A leader that goes on has heard nobody meanwhile, and so it waits, by its own clock,
 * for as long as a node has to be silent, before it takes anybody out. (What it had found before, it may finish.) For runs in which
 * nobody but the autopilot removes members.
 */
export class Standstills implements Oracle {
  private readonly deadNodeAfterMs: number

  constructor(deadNodeAfterMs: number) {
    this.deadNodeAfterMs = deadNodeAfterMs
  }

  onStep(machine: Machine, { view, before }: CoreStep): void {
    const { stoodStill, process } = machine
    if (stoodStill === null || before === null || process === null || view.state !== 'leader') return
    if (sameLogId(view.effective.logId, before.effective.logId) || before.state !== 'leader') return
    const awakeMs = process.clock.now() - stoodStill.until
    if (awakeMs >= this.deadNodeAfterMs) return
    const { present } = stoodStill
    for (const id of takenOut(before.effective.membership, view.effective.membership)) {
      if (present !== null && !present.has(id)) continue
      const since = `${awakeMs.toFixed(0)} ms after all machines stood still`
      throw new Violation(
        'standstill',
        `${machine.name} takes out n${id} ${since}, and not ${this.deadNodeAfterMs} or more`,
      )
    }
  }
}

/** Those who are no members any more, or have lost their vote, by a change that begins. */
function takenOut(before: Membership, after: Membership): NodeId[] {
  const [voters = []] = before.configs
  if (before.configs.length > 1) return []
  const left = after.configs.at(-1) ?? []
  return [...before.nodes.keys()].filter((id) => !after.nodes.has(id) || (voters.includes(id) && !left.includes(id)))
}
