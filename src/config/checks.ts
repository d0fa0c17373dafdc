import { describeDuration } from '../lib/duration.ts'
import { overlap } from '../lib/host-port.ts'
import { limits } from '../limits.ts'
import type { Config } from './config.ts'
import { expectedNodes } from './settings/automation.ts'

/** Why settings are wrong together. */
export interface Contradiction {
  readonly wrong: string
  readonly allowed: string
}

/** A check of settings that can only be wrong together. */
export interface Check {
  /** The settings that a message shows. */
  readonly shown: readonly (keyof Config)[]
  /** Null: nothing is wrong, or one of the settings is wrong by itself and therefore not there. */
  readonly judge: (values: Partial<Config>) => Contradiction | null
}

type Judge<Key extends keyof Config> = (values: Pick<Config, Key>) => Contradiction | null

/** A check that shows the settings `shown` and also looks at `others`. */
function check<const Shown extends keyof Config, const Other extends keyof Config = never>(
  shown: readonly Shown[],
  others: readonly Other[],
  judge: Judge<Shown | Other>,
): Check {
  const needed = [...shown, ...others]
  return { shown, judge: (values) => (hasAll(values, needed) ? judge(values) : null) }
}

function hasAll<Key extends keyof Config>(
  values: Partial<Config>,
  keys: readonly Key[],
): values is Partial<Config> & Pick<Config, Key> {
  return keys.every((key) => values[key] !== undefined)
}

export const checks: readonly Check[] = [
  check(['heartbeatMs', 'electionTimeoutMs'], [], ({ heartbeatMs, electionTimeoutMs }) => {
    if (heartbeatMs * 3 <= electionTimeoutMs.min) return null
    return {
      wrong: 'do not fit together: one or two lost heartbeats would depose a leader that is alive',
      allowed: `a shortest election timeout of at least three heartbeats (${describeDuration(heartbeatMs * 3)})`,
    }
  }),
  check(['api', 'raft'], [], ({ api, raft }) =>
    overlap(api, raft) ? { wrong: 'have the same port', allowed: 'two different ports' } : null,
  ),
  check(['apiAdvertise', 'raftAdvertise'], [], ({ apiAdvertise, raftAdvertise }) => {
    if (raftAdvertise === null || apiAdvertise?.address !== raftAdvertise) return null
    return {
      wrong: 'are the same address',
      allowed: 'two different addresses: clients and peers speak different protocols',
    }
  }),
  check(['tlsCert'], ['tlsKey'], ({ tlsCert, tlsKey }) =>
    tlsCert !== null && tlsKey === null
      ? { wrong: 'comes without its private key', allowed: '--tls-key as well' }
      : null,
  ),
  check(['tlsKey'], ['tlsCert'], ({ tlsCert, tlsKey }) =>
    tlsKey !== null && tlsCert === null
      ? { wrong: 'comes without its certificate', allowed: '--tls-cert as well' }
      : null,
  ),
  check(['tlsClientCa'], ['tlsCert'], ({ tlsClientCa, tlsCert }) => {
    if (tlsClientCa === null || tlsCert !== null) return null
    return { wrong: 'has no effect by itself', allowed: 'only together with --tls-cert and --tls-key' }
  }),
  check(['peerTlsCert'], ['peerTlsKey', 'peerTlsCa'], (files) => incomplete(files.peerTlsCert, files)),
  check(['peerTlsKey'], ['peerTlsCert', 'peerTlsCa'], (files) => incomplete(files.peerTlsKey, files)),
  check(['peerTlsCa'], ['peerTlsCert', 'peerTlsKey'], (files) => incomplete(files.peerTlsCa, files)),
  check(['apiAdvertise'], ['tlsCert'], ({ apiAdvertise, tlsCert }) => {
    if (tlsCert === null || apiAdvertise?.scheme !== 'http') return null
    return { wrong: 'sends clients to http, but the API speaks https', allowed: 'HOST:PORT or https://HOST:PORT' }
  }),
  check(['expect'], ['discover'], ({ expect, discover }) => (discover === null && expect !== null ? alone : null)),
  check(['votersTarget'], ['discover'], ({ votersTarget, discover }) =>
    discover === null && votersTarget !== null ? alone : null,
  ),
  check(['discover'], ['expect'], ({ discover, expect }) => {
    if (discover === null || expectedNodes({ discover, expect }) !== null) return null
    return { wrong: 'does not say how many nodes form the cluster', allowed: '--expect as well, such as --expect 3' }
  }),
  check(['expect'], ['discover'], ({ expect, discover }) => {
    if (discover?.kind !== 'static' || expect === null) return null
    return judgeExpected(expect, discover.addresses.length)
  }),
  check(['votersTarget'], ['discover', 'expect'], ({ votersTarget, discover, expect }) => {
    const expected = expectedNodes({ discover, expect })
    if (discover === null || expected === null || votersTarget === null || votersTarget >= expected) return null
    return {
      wrong: `is below the ${expected} nodes that form the cluster, all of which vote`,
      allowed: `a whole number from ${expected} to ${limits.membersMax}`,
    }
  }),
  check(['autopilot'], ['deadNodeAfterMs'], ({ autopilot, deadNodeAfterMs }) => {
    if (autopilot === null || autopilot === 'off' || deadNodeAfterMs !== null) return null
    return {
      wrong: 'does not say when a node counts as dead',
      allowed: '--dead-node-after as well, such as --dead-node-after 5m',
    }
  }),
  check(['deadNodeAfterMs'], ['electionTimeoutMs'], ({ deadNodeAfterMs, electionTimeoutMs }) => {
    const least = electionTimeoutMs.max * 2
    if (deadNodeAfterMs === null || deadNodeAfterMs >= least) return null
    return {
      wrong: 'is shorter than an election may take: members that are only waiting for a leader would be removed',
      allowed: `at least twice the longest election timeout (${describeDuration(least)})`,
    }
  }),
]

const alone: Contradiction = {
  wrong: 'has no effect by itself',
  allowed: 'only together with --discover; without that, clusters are formed by POST /cluster/initialize',
}

type PeerTlsFiles = Pick<Config, 'peerTlsCert' | 'peerTlsKey' | 'peerTlsCa'>

function incomplete(given: string | null, { peerTlsCert, peerTlsKey, peerTlsCa }: PeerTlsFiles): Contradiction | null {
  const isComplete = peerTlsCert !== null && peerTlsKey !== null && peerTlsCa !== null
  if (given === null || isComplete) return null
  return {
    wrong: 'is not enough for TLS between peers',
    allowed: 'all of --peer-tls-cert, --peer-tls-key and --peer-tls-ca',
  }
}

function judgeExpected(expected: number, listed: number): Contradiction | null {
  // The list may leave out the node itself, but no other node.
  if (expected > listed + 1) {
    return {
      wrong: `expects more nodes than --discover lists addresses (${listed})`,
      allowed: 'at most as many nodes as addresses: list the raft address of every node',
    }
  }
  // With so few nodes, two parts of the list that cannot see each other would each be large enough to form a cluster.
  const half = Math.floor(listed / 2)
  if (expected > half) return null
  return {
    wrong: `is no more than half of the ${listed} addresses that --discover lists: two groups of them could each form a cluster`,
    allowed: `more than half of the addresses (at least ${half + 1}); the others join, and stay learners beyond --voters-target`,
  }
}
