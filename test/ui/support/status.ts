import type { ClusterStatus, MemberStatus } from '../../../src/client/api-types.ts'

interface Given extends Partial<Omit<ClusterStatus, 'nodes' | 'membership'>> {
  readonly voters?: readonly (readonly number[])[]
  readonly learners?: readonly number[]
  readonly members?: Readonly<Record<number, Partial<MemberStatus>>>
}

const quiet = { decision: 'none', reason: '', sinceMs: 0 } as const

/** The cluster as node 1 sees it: three voters, of which it leads, all in step, unless `given` says otherwise. */
export function statusOf(given: Given = {}): ClusterStatus {
  const { voters = [[1, 2, 3]], learners = [], members = {}, ...rest } = given
  const ids = [...new Set([...voters.flat(), ...learners])].toSorted((a, b) => a - b)
  const logId = { term: 1, node: 1, index: 7 }
  const nodes = Object.fromEntries(
    ids.map((id) => [
      id,
      { ...memberOf(id, learners.includes(id) ? 'learner' : 'voter'), ...members[id] } satisfies MemberStatus,
    ]),
  )
  const addresses = Object.fromEntries(
    ids.map((id) => [id, { raft: `127.0.0.1:710${id}`, api: `http://127.0.0.1:700${id}` }]),
  )
  const membership = { configs: voters, learners, nodes: addresses }
  const answer = { membership, logId, committed: voters.length === 1, joint: voters.length > 1 }
  return {
    clusterId: 'c1',
    node: { id: 1, state: 'leader', incarnation: 'i', version: '0.1.0', uptimeMs: 5_000, disk: null },
    leader: 1,
    term: 1,
    vote: { term: 1, node: 1, committed: true },
    lastLogId: logId,
    committed: logId,
    applied: logId,
    purged: null,
    membership: { effective: answer, committed: answer, joint: voters.length > 1 },
    nodes,
    failureTolerance: 1,
    digest: 'd',
    warnings: [],
    formation: { mode: 'manual', ...quiet, seen: 0, expected: null, failure: null, sightings: [] },
    joining: { mode: 'off', ...quiet, failure: null },
    autopilot: { mode: 'off', ...quiet },
    ...rest,
  }
}

function memberOf(id: number, role: MemberStatus['role']): MemberStatus {
  return {
    raft: `127.0.0.1:710${id}`,
    api: `http://127.0.0.1:700${id}`,
    role,
    priority: 50,
    reachable: true,
    matched: 7,
    lag: 0,
    lastContactMs: 1,
    phase: 'caught-up',
    remainingMs: null,
    snapshot: null,
  }
}
