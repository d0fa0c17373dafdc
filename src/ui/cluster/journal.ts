import type { ClusterStatus } from '../../client/api-types.ts'
import { nodes } from '../lib/format.ts'
import { capital, sentence } from '../lib/sentence.ts'
import { configsOf, learnersOf } from './members.ts'

/** Something that changed between two looks at the cluster. */
export interface Occurrence {
  readonly tone: 'plain' | 'good' | 'warn' | 'bad'
  readonly text: string
}

/** What has happened between two looks: elections, members, connections, warnings, decisions. */
export function occurrencesBetween(before: ClusterStatus, after: ClusterStatus): readonly Occurrence[] {
  // Another node answers at this address: nothing that differs is a change.
  if (before.clusterId !== null && before.clusterId !== after.clusterId) {
    return [{ tone: 'warn', text: `This address belongs to another cluster now: ${after.clusterId ?? 'none'}.` }]
  }
  const restarted = after.node.uptimeMs < before.node.uptimeMs
  return [
    ...(restarted ? [{ tone: 'warn', text: `Node ${after.node.id} was started anew.` } as const] : []),
    ...elections(before, after),
    ...memberships(before, after),
    ...connections(before, after),
    ...warnings(before, after),
    ...decisions(before, after),
  ]
}

function elections(before: ClusterStatus, after: ClusterStatus): Occurrence[] {
  if (before.leader === after.leader && before.term === after.term) return []
  if (after.leader !== null) return [{ tone: 'good', text: `Node ${after.leader} leads in term ${after.term}.` }]
  const text =
    before.leader === null
      ? `An election in term ${after.term} has begun.`
      : `Node ${before.leader} leads no more; nobody leads in term ${after.term}.`
  return [{ tone: 'warn', text }]
}

function memberships(before: ClusterStatus, after: ClusterStatus): Occurrence[] {
  const [old, now] = [configsOf(before), configsOf(after)]
  const occurrences: Occurrence[] = []
  if (describe(old) !== describe(now) && old.length > 0) {
    const isJoint = now.length > 1
    const text = isJoint ? `Voters begin to change: ${describe(now)}.` : `The voters are ${describe(now)}.`
    occurrences.push({ tone: isJoint ? 'plain' : 'good', text })
  }
  const learners = { old: learnersOf(before), now: learnersOf(after) }
  const added = learners.now.filter((id) => !learners.old.includes(id) && before.nodes[id] === undefined)
  const removed = Object.keys(before.nodes).filter((id) => after.nodes[id] === undefined)
  if (added.length > 0) occurrences.push({ tone: 'good', text: `${capital(nodes(added))} joined as learner.` })
  if (removed.length > 0) {
    occurrences.push({ tone: 'warn', text: `${capital(nodes(removed.map(Number)))} left the cluster.` })
  }
  for (const [id, { phase, role }] of Object.entries(after.nodes)) {
    const was = before.nodes[id]?.phase
    if (role === 'learner' && phase === 'caught-up' && was !== undefined && was !== null && was !== phase) {
      occurrences.push({ tone: 'good', text: `Learner ${id} has caught up.` })
    }
  }
  return occurrences
}

function connections(before: ClusterStatus, after: ClusterStatus): Occurrence[] {
  return Object.entries(after.nodes).flatMap(([id, { reachable }]): Occurrence[] => {
    const was = before.nodes[id]?.reachable
    if (was === undefined || was === reachable || reachable === null) return []
    return reachable
      ? [{ tone: 'good', text: `Node ${id} is connected.` }]
      : [{ tone: 'bad', text: `The connection to node ${id} is lost.` }]
  })
}

function warnings(before: ClusterStatus, after: ClusterStatus): Occurrence[] {
  const has = (list: ClusterStatus['warnings'], detail: string): boolean => list.some((one) => one.detail === detail)
  const raised = after.warnings.filter(({ detail }) => !has(before.warnings, detail))
  const over = before.warnings.filter(({ detail }) => !has(after.warnings, detail))
  return [
    ...raised.map(({ detail }) => ({ tone: 'warn', text: sentence(detail) }) as const),
    ...over.map(({ code }) => ({ tone: 'good', text: `The warning ${code} is over.` }) as const),
  ]
}

function decisions(before: ClusterStatus, after: ClusterStatus): Occurrence[] {
  return (['formation', 'joining', 'autopilot'] as const).flatMap((name): Occurrence[] => {
    const { decision, reason, mode } = after[name]
    if (mode === 'manual' || mode === 'off' || before[name].decision === decision) return []
    return [{ tone: 'plain', text: `${capital(name)} decides ${decision}: ${sentence(reason)}` }]
  })
}

function describe(configs: readonly (readonly number[])[]): string {
  return configs.map((voters) => voters.join(', ')).join(' → ')
}
