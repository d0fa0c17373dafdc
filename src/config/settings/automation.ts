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
    summary: 'where the raft addresses of all nodes are found: form or join a cluster without being told to',
    initial: null,
    required: false,
    ...discoverySources,
  },
  expect: {
    flag: 'expect',
    placeholder: 'N',
    summary:
      'with --discover: how many nodes form the cluster, more than half of all; default: the addresses of a static list',
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
    summary: 'with --discover: as leader take in nodes that have no cluster, and let them vote once they keep up',
    initial: 'true',
    required: true,
    ...switches,
  },
  votersTarget: {
    flag: 'voters-target',
    placeholder: 'N',
    summary:
      'with --discover: nodes that join vote up to this number, beyond it they learn; default: as many as expected',
    initial: null,
    required: false,
    ...members,
  },
  stabilizationMs: {
    flag: 'stabilization',
    placeholder: 'DURATION',
    summary: 'how long a learner has to keep up before it is made a voter automatically',
    initial: '2s',
    required: true,
    ...durations(0, limits.stabilizationMsMax),
  },
  deadNodeAfterMs: {
    flag: 'dead-node-after',
    placeholder: 'DURATION',
    summary: 'autopilot: a member that was not heard for so long is replaced or removed; default: never',
    initial: null,
    required: false,
    ...durations(1000, limits.deadNodeAfterMsMax, ', at least two of the longest election timeout'),
  },
  autopilot: {
    flag: 'autopilot',
    placeholder: 'MODE',
    summary: 'what is done about dead members; dry-run only shows it; default: on with --dead-node-after',
    initial: null,
    required: false,
    ...choices(['on', 'dry-run', 'off']),
  },
  minVoters: {
    flag: 'min-voters',
    placeholder: 'N',
    summary: 'autopilot: a dead voter without replacement stays when fewer than these would remain',
    initial: '3',
    required: true,
    ...members,
  },
}

/** The number of nodes that form the cluster. */
export function expectedNodes({ discover, expect }: Pick<AutomationConfig, 'discover' | 'expect'>): number | null {
  return expect ?? (discover?.kind === 'static' ? discover.addresses.length : null)
}
