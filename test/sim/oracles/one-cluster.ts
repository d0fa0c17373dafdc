import type { Machine } from '../machines/machine.ts'
import { Violation } from '../world/violation.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Oracle } from './oracle.ts'

/**
 * Nodes that find each other, with one token and a cluster size of more than half of them, never form two clusters that both
 * have a leader.
 */
export class OneCluster implements Oracle {
  private led: string | null = null

  onStep(machine: Machine, { view, before }: CoreStep): void {
    if (view.state !== 'leader' || before?.state === 'leader') return
    this.led ??= machine.clusterId
    if (this.led !== machine.clusterId)
      throw new Violation(
        'one-cluster',
        `${machine.name} leads cluster ${machine.clusterId}, and ${this.led} had a leader`,
      )
  }
}
