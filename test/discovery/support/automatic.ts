import type { Test } from 'tap'
import { judges } from '../../../src/node/automation/judges.ts'
import type { AutomationPlan } from '../../../src/ports/automation.ts'
import type { Discovered } from '../../../src/ports/discovery.ts'
import { addressesOf } from '../../node/support/machine.ts'
import type { TestCluster } from '../../node/support/cluster.ts'

export interface Wishes {
  readonly expected: number
  readonly delayMs?: number
  readonly autoJoin?: boolean
  readonly votersTarget?: number
  readonly stabilizationMs?: number
  readonly autopilot?: AutomationPlan['autopilot']
  /** The addresses that discovery finds; by default those of all machines. */
  readonly lookUp?: () => Discovered
}

const noAutopilot: AutomationPlan['autopilot'] = { mode: 'off', deadNodeAfterMs: 0, minVoters: 3 }

function planOf(ids: readonly number[], wishes: Wishes): AutomationPlan {
  const { expected, delayMs = 1_000, autoJoin = true, votersTarget = expected, stabilizationMs = 500 } = wishes
  const all: Discovered = { addresses: ids.map((id) => addressesOf(id).raft), problem: null }
  const discovery = { lookUp: async () => wishes.lookUp?.() ?? all }
  return {
    judges,
    formation: { discovery, expected, delayMs, autoJoin, votersTarget },
    autopilot: wishes.autopilot ?? noAutopilot,
    stabilizationMs,
    intervalMs: 100,
    probeTimeoutMs: 500,
  }
}

/** The processes that are started from now on do all this by themselves. */
export function automate(c: TestCluster, wishes: Wishes, ids: readonly number[] = [...c.machines.keys()]): void {
  for (const id of ids) c.at(id).automation = planOf([...c.machines.keys()], wishes)
}

export function votersOf(c: TestCluster, id: number): string {
  const { membership } = c.on(id).status()
  return membership === null ? 'none' : membership.effective.membership.configs.map((ids) => ids.join()).join(' -> ')
}

/** Every cluster id that a process that is up belongs to. */
export function clustersOf(c: TestCluster): string[] {
  return [...new Set(c.up.flatMap(({ client }) => client.status().clusterId ?? []))]
}

/** One cluster with these voters, in which everybody is a member and writing works everywhere. */
export async function checkOne(t: Test, c: TestCluster, voters: readonly number[], name: string): Promise<void> {
  const all = c.up.map(({ id }) => Number(id))
  await c.until(`everybody is in one cluster of ${voters.join()}: ${name}`, () => {
    if (clustersOf(c).length > 1) throw new Error(`${name}: clusters ${clustersOf(c).join(' ')}`)
    return all.every((id) => {
      const { effective } = c.at(id).view
      return votersOf(c, id) === voters.join() && all.every((other) => effective.membership.nodes.has(c.at(other).id))
    })
  })
  await c.leader(all)
  for (const id of all) await c.on(id).put(`from-${id}`, name)
  await c.settled(all)
  t.equal(clustersOf(c).length, 1, name)
}
