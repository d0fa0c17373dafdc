import type {
  ClusterStatus,
  LearnerAnswer,
  MembershipAnswer,
  MemberSpec,
  TransferAnswer,
} from '../../client/api-types.ts'
import { bounds } from '../bounds.ts'
import { Store } from '../lib/store.ts'
import { Poller } from './poller.ts'
import { send, sendForJson } from './request.ts'

/** How long a change of members may take. The API takes no longer. */
const CHANGE = '60s'

/** The cluster as the node of this page sees it. */
export const cluster = new Poller<ClusterStatus>(
  async () =>
    await sendForJson<ClusterStatus>({ path: '/cluster', timeoutMs: bounds.pollTimeoutMs, waitsForToken: false }),
)

/** How many times another cluster than before has answered at the address of this page. What was seen of the one before says nothing of it. */
export const otherClusters = new Store(0)

let known: string | null = null

cluster.seen.follow(() => {
  const id = cluster.seen.value.value?.clusterId ?? null
  if (id === null || id === known) return
  const isFirst = known === null
  known = id
  if (!isFirst) otherClusters.set(otherClusters.value + 1)
})

export async function addLearner(member: MemberSpec): Promise<LearnerAnswer> {
  // How it catches up is drawn, so nobody has to wait for it.
  const json = { ...member, wait: false }
  return await sendForJson({ method: 'POST', path: '/cluster/learners', query: { timeout: CHANGE }, json })
}

export async function removeLearner(id: number): Promise<MembershipAnswer> {
  return await sendForJson({ method: 'DELETE', path: `/cluster/learners/${id}`, query: { timeout: CHANGE } })
}

export interface VoterChange {
  readonly add?: readonly number[]
  readonly remove?: readonly number[]
  /** Voters that leave stay as learners. */
  readonly retain?: boolean
  /** Change even if the new voters may have no quorum. */
  readonly force?: boolean
}

/** `at`: the index of the membership for which the change is meant; another one is refused. */
export async function changeVoters(change: VoterChange, at: number | null): Promise<MembershipAnswer> {
  const call = { method: 'PATCH', path: '/cluster/membership', query: { timeout: CHANGE }, json: change } as const
  return await sendForJson({ ...call, headers: ifMembershipAt(at) })
}

/** `force`: do not ask which node answers at the new addresses. */
export async function changeAddresses(
  { id, raft, api }: MemberSpec,
  force: boolean,
  at: number | null,
): Promise<MembershipAnswer> {
  const json = { raft, api, ...(force ? { force } : {}) }
  const call = { method: 'PUT', path: `/cluster/nodes/${id}`, query: { timeout: CHANGE }, json } as const
  return await sendForJson({ ...call, headers: ifMembershipAt(at) })
}

function ifMembershipAt(index: number | null): Readonly<Record<string, string>> {
  return index === null ? {} : { 'if-match': `"${index}"` }
}

export async function transferLeadership(id: number): Promise<TransferAnswer> {
  return await sendForJson({ method: 'POST', path: '/cluster/leader', json: { id } })
}

export async function campaign(): Promise<{ readonly node: number }> {
  return await sendForJson({ method: 'POST', path: '/cluster/elections' })
}

export async function purgeLog(): Promise<{ readonly purged: ClusterStatus['purged'] }> {
  return await sendForJson({ method: 'POST', path: '/cluster/purge' })
}

export interface Backup {
  readonly response: Response
  readonly revision: number
  readonly index: number
  readonly bytesEstimate: number
}

/** `stale`: what the node has, also without a leader. */
export async function startBackup(consistency: 'linearizable' | 'stale', signal: AbortSignal): Promise<Backup> {
  const response = await send({ path: '/cluster/snapshot', query: { consistency }, signal })
  const numberIn = (name: string): number => Number(response.headers.get(name) ?? Number.NaN)
  return {
    response,
    revision: numberIn('quorate-revision'),
    index: numberIn('quorate-snapshot-index'),
    bytesEstimate: numberIn('quorate-snapshot-bytes'),
  }
}
