import { limits } from '../../limits.ts'
import type { AutopilotMode } from '../../ports/automation.ts'
import type { DiscoverySource } from '../../ports/discovery.ts'
import { describeDuration, duration, type DurationRange } from '../../lib/duration.ts'
import { hostPort, reachable } from '../../lib/host-port.ts'
import { integer, oneOf, path, type Mistake, type Setting } from '../setting.ts'
import type { Parsed } from '../../lib/parsed.ts'

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

const DAY_MS = 24 * 3_600_000
const switches = ['true', 'false'] as const
const autopilotModes = ['on', 'dry-run', 'off'] as const
const members = integer(1, limits.membersMax)
const someMembers = `a whole number from 1 to ${limits.membersMax}`

export const automationSettings: { readonly [Key in keyof AutomationConfig]: Setting<AutomationConfig[Key]> } = {
  discover: {
    flag: 'discover',
    placeholder: 'SOURCE',
    summary: 'where the raft addresses of all nodes are found: form or join a cluster without being told to',
    allowed: 'static:HOST:PORT,HOST:PORT,... or dns:NAME:PORT or srv:NAME or file:PATH',
    initial: null,
    required: false,
    parse: parseSource,
  },
  expect: {
    flag: 'expect',
    placeholder: 'N',
    summary:
      'with --discover: how many nodes form the cluster, more than half of all; default: the addresses of a static list',
    allowed: someMembers,
    initial: null,
    required: false,
    parse: members,
  },
  clusterFormationDelayMs: {
    flag: 'cluster-formation-delay',
    placeholder: 'DURATION',
    summary: 'with --discover: how long a node without a cluster looks for one before it forms one',
    allowed: 'a duration from 0ms to 10m',
    initial: '5s',
    required: true,
    parse: duration(0, 600_000),
  },
  autoJoin: {
    flag: 'auto-join',
    placeholder: 'BOOLEAN',
    summary: 'with --discover: as leader take in nodes that have no cluster, and let them vote once they keep up',
    allowed: switches.join(', '),
    initial: 'true',
    required: true,
    parse: parseSwitch,
  },
  votersTarget: {
    flag: 'voters-target',
    placeholder: 'N',
    summary:
      'with --discover: nodes that join vote up to this number, beyond it they learn; default: as many as expected',
    allowed: someMembers,
    initial: null,
    required: false,
    parse: members,
  },
  stabilizationMs: {
    flag: 'stabilization',
    placeholder: 'DURATION',
    summary: 'how long a learner has to keep up before it is made a voter automatically',
    allowed: 'a duration from 0ms to 1h',
    initial: '2s',
    required: true,
    parse: duration(0, 3_600_000),
  },
  deadNodeAfterMs: {
    flag: 'dead-node-after',
    placeholder: 'DURATION',
    summary: 'autopilot: a member that was not heard for so long is replaced or removed; default: never',
    allowed: 'a duration from 1s to 24h, at least two of the longest election timeout',
    initial: null,
    required: false,
    parse: duration(1000, DAY_MS),
  },
  autopilot: {
    flag: 'autopilot',
    placeholder: 'MODE',
    summary: 'what is done about dead members; dry-run only shows it; default: on with --dead-node-after',
    allowed: autopilotModes.join(', '),
    initial: null,
    required: false,
    parse: oneOf(autopilotModes),
  },
  minVoters: {
    flag: 'min-voters',
    placeholder: 'N',
    summary: 'autopilot: a dead voter without replacement stays when fewer than these would remain',
    allowed: someMembers,
    initial: '3',
    required: true,
    parse: members,
  },
}

function parseSwitch(text: string): Parsed<boolean> {
  const parsed = oneOf(switches)(text)
  return parsed.ok ? { ok: true, value: parsed.value === 'true' } : parsed
}

const sourceKinds = 'static, dns, srv or file'

function parseSource(text: string): Parsed<DiscoverySource> {
  const colon = text.indexOf(':')
  const rest = text.slice(colon + 1)
  switch (colon < 0 ? '' : text.slice(0, colon)) {
    case 'static':
      return parseStatic(rest)
    case 'dns': {
      const parsed = hostPort(rest)
      if (!parsed.ok) return parsed
      if (parsed.value.port === 0) return { ok: false, wrong: 'names port 0, where nobody can be reached' }
      return { ok: true, value: { kind: 'dns', name: parsed.value.host, port: parsed.value.port } }
    }
    case 'srv': {
      // A service has no port. Its name must follow the same rules as any other host name.
      const parsed = hostPort(`${rest}:1`)
      if (!parsed.ok || parsed.value.host.includes(':')) return { ok: false, wrong: 'names no service' }
      return { ok: true, value: { kind: 'srv', name: parsed.value.host } }
    }
    case 'file': {
      const parsed = path(rest)
      return parsed.ok ? { ok: true, value: { kind: 'file', path: parsed.value } } : parsed
    }
    default:
      return { ok: false, wrong: `does not begin with ${sourceKinds} and a colon` }
  }
}

function parseStatic(list: string): Parsed<DiscoverySource> {
  const addresses: string[] = []
  for (const entry of list.split(',')) {
    const parsed = reachable(entry.trim())
    if (!parsed.ok)
      return { ok: false, wrong: `lists ${entry.trim() === '' ? 'nothing' : entry.trim()}, which ${parsed.wrong}` }
    if (addresses.includes(parsed.value)) return { ok: false, wrong: `lists ${parsed.value} twice` }
    addresses.push(parsed.value)
  }
  if (addresses.length > limits.membersMax)
    return { ok: false, wrong: `lists ${addresses.length} addresses, more than ${limits.membersMax}` }
  return { ok: true, value: { kind: 'static', addresses } }
}

/** The number of nodes that form the cluster. */
export function expectedNodes({ discover, expect }: Pick<AutomationConfig, 'discover' | 'expect'>): number | null {
  return expect ?? (discover?.kind === 'static' ? discover.addresses.length : null)
}

/** Checks settings that can only be wrong together. Settings that are wrong by themselves are absent here and not checked again. */
export function checkAutomation(
  values: Partial<AutomationConfig> & { readonly electionTimeoutMs?: DurationRange },
  mistakes: Mistake[],
): void {
  checkFormation(values, mistakes)
  const { deadNodeAfterMs, autopilot, electionTimeoutMs } = values
  if (autopilot !== undefined && autopilot !== null && autopilot !== 'off' && deadNodeAfterMs === null) {
    mistakes.push({
      given: `--autopilot ${autopilot}`,
      wrong: 'does not say when a node counts as dead',
      allowed: '--dead-node-after with it, such as --dead-node-after 5m',
    })
  }
  if (typeof deadNodeAfterMs === 'number' && electionTimeoutMs !== undefined) {
    if (deadNodeAfterMs < electionTimeoutMs.max * 2) {
      mistakes.push({
        given: `--dead-node-after ${describeDuration(deadNodeAfterMs)}`,
        wrong: 'is shorter than an election may take: members would be removed that are only waiting for a leader',
        allowed: `at least twice the longest election timeout (${describeDuration(electionTimeoutMs.max * 2)})`,
      })
    }
  }
}

function checkFormation({ discover, expect, votersTarget }: Partial<AutomationConfig>, mistakes: Mistake[]): void {
  if (discover === undefined || expect === undefined) return
  if (discover === null) {
    for (const [flag, value] of [
      ['expect', expect],
      ['voters-target', votersTarget ?? null],
    ] as const) {
      if (value === null) continue
      const allowed = 'it together with --discover; without, clusters are formed by POST /cluster/initialize'
      mistakes.push({ given: `--${flag} ${value}`, wrong: 'does nothing by itself', allowed })
    }
    return
  }
  const expected = expectedNodes({ discover, expect })
  if (expected === null) {
    mistakes.push({
      given: `--discover ${discover.kind}:...`,
      wrong: 'does not say how many nodes form the cluster',
      allowed: '--expect with it, such as --expect 3',
    })
    return
  }
  // The list may leave out the node itself, but no other node.
  if (discover.kind === 'static' && expected > discover.addresses.length + 1) {
    mistakes.push({
      given: `--expect ${expected}`,
      wrong: `expects more nodes than --discover lists addresses (${discover.addresses.length})`,
      allowed: 'at most as many nodes as addresses: list the raft address of every node',
    })
  }
  // With so few nodes, two parts of the list that cannot see each other would each be large enough to form a cluster.
  if (discover.kind === 'static' && expected <= Math.floor(discover.addresses.length / 2)) {
    const { length } = discover.addresses
    mistakes.push({
      given: `--expect ${expected}`,
      wrong: `is no more than half of the ${length} addresses that --discover lists: two parts of them could form a cluster each`,
      allowed: `more than half of the addresses (at least ${Math.floor(length / 2) + 1}); the others join, and learn beyond --voters-target`,
    })
  }
  if (typeof votersTarget === 'number' && votersTarget < expected) {
    mistakes.push({
      given: `--voters-target ${votersTarget}`,
      wrong: `is below the ${expected} nodes that form the cluster, all of which vote`,
      allowed: `a whole number from ${expected} to ${limits.membersMax}`,
    })
  }
}
