import { limits } from '../../limits.ts'
import type { AutopilotMode } from '../../ports/automation.ts'
import type { DiscoverySource } from '../../ports/discovery.ts'
import { discoverySources } from '../discovery-source.ts'
import type { SettingsOf } from '../setting.ts'
import { choices, durations, switches, wholeNumbers } from '../values.ts'

/** What a node does about its cluster by itself. Times in milliseconds. */
export interface AutomationConfig {
  /** Null: clusters are formed and joined only by request. */
  readonly discover: DiscoverySource | null
  /** Null: the number of addresses in a static list. */
  readonly expect: number | null
  readonly clusterFormationDelayMs: number
  readonly autoJoin: boolean
  /** Null: the number of expected nodes. */
  readonly votersTarget: number | null
  readonly stabilizationMs: number
  /** Null: a dead node stays a member. */
  readonly deadNodeAfterMs: number | null
  /** Null: it is on when `deadNodeAfterMs` is given. */
  readonly autopilot: AutopilotMode | null
  readonly minVoters: number
}

const members = wholeNumbers(1, limits.membersMax)

export const automationSettings: SettingsOf<AutomationConfig> = {
  discover: {
    flag: 'discover',
    placeholder: 'SOURCE',
    summary: 'where to find the raft addresses of all nodes; the node then forms or joins a cluster by itself',
    initial: null,
    required: false,
    ...discoverySources,
  },
  expect: {
    flag: 'expect',
    placeholder: 'N',
    summary:
      'with --discover: how many nodes form the cluster, more than half of all; default: the number of addresses in a static list',
    initial: null,
    required: false,
    ...members,
  },
  clusterFormationDelayMs: {
    flag: 'cluster-formation-delay',
    placeholder: 'DURATION',
    summary: 'with --discover: how long a node without a cluster looks for one before it forms one',
    initial: '5s',
    required: true,
    ...durations(0, limits.clusterFormationDelayMsMax),
  },
  autoJoin: {
    flag: 'auto-join',
    placeholder: 'BOOLEAN',
    summary: 'with --discover: as leader, add nodes that have no cluster, and make them voters once they keep up',
    initial: 'true',
    required: true,
    ...switches,
  },
  votersTarget: {
    flag: 'voters-target',
    placeholder: 'N',
    summary:
      'with --discover: nodes that join become voters up to this number, and stay learners beyond it; default: the number of --expect',
    initial: null,
    required: false,
    ...members,
  },
  stabilizationMs: {
    flag: 'stabilization',
    placeholder: 'DURATION',
    summary: 'how long a learner must keep up before it becomes a voter automatically',
    initial: '2s',
    required: true,
    ...durations(0, limits.stabilizationMsMax),
  },
  deadNodeAfterMs: {
    flag: 'dead-node-after',
    placeholder: 'DURATION',
    summary: 'autopilot: a member that has not been heard from for this long is replaced or removed; default: never',
    initial: null,
    required: false,
    ...durations(1000, limits.deadNodeAfterMsMax, ', at least two of the longest election timeout'),
  },
  autopilot: {
    flag: 'autopilot',
    placeholder: 'MODE',
    summary:
      'autopilot: whether it acts on dead members; dry-run only shows what it would do; default: on with --dead-node-after',
    initial: null,
    required: false,
    ...choices(['on', 'dry-run', 'off']),
  },
  minVoters: {
    flag: 'min-voters',
    placeholder: 'N',
    summary: 'autopilot: a dead voter without a replacement stays if fewer voters than this would remain',
    initial: '3',
    required: true,
    ...members,
  },
}

/** The number of nodes that form the cluster. */
export function expectedNodes({ discover, expect }: Pick<AutomationConfig, 'discover' | 'expect'>): number | null {
  return expect ?? (discover?.kind === 'static' ? discover.addresses.length : null)
}
