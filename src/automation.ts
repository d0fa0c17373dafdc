import { readAtMost } from './config/bounded-file.ts'
import { expectedNodes } from './config/settings/automation.ts'
import type { Config } from './config/config.ts'
import { judges } from './node/automation/judges.ts'
import { platformLookups } from './discovery/platform.ts'
import { createDiscovery } from './discovery/sources.ts'
import { limits } from './limits.ts'
import type { AutomationPlan } from './ports/automation.ts'
import { reachable } from './lib/host-port.ts'

const INTERVAL_MS_MIN = 50
const INTERVAL_MS_MAX = 500
const PROBE_TIMEOUT_MS_MIN = 250
const PROBE_TIMEOUT_MS_MAX = 1_000

/** What the configuration asks the node to do by itself; null: nothing. */
export function automationPlan(config: Config): AutomationPlan | null {
  const { discover, clusterFormationDelayMs: delayMs, deadNodeAfterMs, autoJoin, minVoters, stabilizationMs } = config
  const expected = expectedNodes(config)
  if (discover === null && deadNodeAfterMs === null) return null
  // A node that waits only a short time has to learn quickly which nodes are there.
  const intervalMs = Math.min(INTERVAL_MS_MAX, Math.max(INTERVAL_MS_MIN, delayMs / 10))
  const probeTimeoutMs = Math.min(PROBE_TIMEOUT_MS_MAX, Math.max(PROBE_TIMEOUT_MS_MIN, delayMs / 2))
  const addressesMax = limits.membersMax
  const discovery =
    discover === null ? null : createDiscovery(discover, { ...platformLookups, readFile, parseAddress, addressesMax })
  return {
    judges,
    formation:
      discovery === null || expected === null
        ? null
        : { discovery, expected, delayMs, autoJoin, votersTarget: config.votersTarget ?? expected },
    autopilot: {
      mode: deadNodeAfterMs === null ? 'off' : (config.autopilot ?? 'on'),
      deadNodeAfterMs: deadNodeAfterMs ?? 0,
      minVoters,
    },
    stabilizationMs,
    intervalMs,
    probeTimeoutMs,
  }
}

async function readFile(path: string): Promise<string> {
  return (await readAtMost(path, limits.discoveryFileBytesMax)).toString('utf8')
}

function parseAddress(text: string): string | null {
  const parsed = reachable(text)
  return parsed.ok ? parsed.value : null
}
