import { encodeCommand, KvMachine, NODE_ITSELF, type KvMachineOptions } from '../../kv/index.ts'
import { StorageError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { LogId, LogIndex, Membership, NodeAddresses, NodeId, Vote } from '../../raft/index.ts'
import { indexOf, isVoter, logIndex, sameIds, term } from '../../raft/index.ts'
import { commandEntryBytes, commandEntryInto } from '../codec/entry.ts'
import { encodeStateMeta, machineAfter, type StateMeta } from '../codec/state-meta.ts'
import type { Startup } from '../startup.ts'
import { replay, type ReplayGround } from '../state/replay.ts'
import type { LogIdView, MembershipView } from '../../api/cluster.ts'
import { logIdView, membershipView, voteView } from './api-views.ts'

const MEMBERS_DIGITS = 24

export interface Survivor {
  readonly id: NodeId
  readonly incarnation: string
  /** The address at which it is reached from now on; null: as in the membership. */
  readonly raft: string | null
  readonly api: string | null
  /** The new cluster has no roles and tokens. */
  readonly resetAuth: boolean
  /**
   * How many revisions lie between the last entry of the survivor and the first revision of the new cluster, for those that clients may have seen
   * of what is lost. 0: revisions go on without a gap, and so does the history.
   */
  readonly revisionGap: number
}

/** What a survivor holds, and what the recovery would make of it. */
export interface RecoveryPlan {
  /** `alone`: this node is the whole cluster already, at these addresses; there is nothing to do. */
  readonly kind: 'needed' | 'alone'
  readonly id: NodeId
  readonly clusterId: string
  readonly role: 'voter' | 'learner'
  readonly last: LogId
  readonly applied: LogIndex
  readonly vote: Vote
  readonly current: Membership
  readonly membershipAt: LogId | null
  readonly next: Membership
  /** The entry that sets `next`: the log of the new cluster goes on behind it. */
  readonly base: LogId
  readonly revisionGap: number
  readonly resetAuth: boolean
}

/** The same in the shapes of the API. */
export interface RecoveryView {
  readonly kind: RecoveryPlan['kind']
  readonly clusterId: string
  readonly role: RecoveryPlan['role']
  readonly lastLogId: LogIdView | null
  readonly applied: number
  /** How many entries are kept although this node does not know whether they were committed. */
  readonly uncertain: number
  readonly vote: { readonly term: number; readonly node: number; readonly committed: boolean }
  readonly membership: MembershipView
  readonly membershipLogId: LogIdView | null
  readonly newMembership: MembershipView
  /** Every revision of the new cluster is higher than this. */
  readonly revisionsAfter: number
  /** Roles and tokens are removed. */
  readonly resetAuth: boolean
  /** Nodes that no longer belong to the cluster. */
  readonly leaving: readonly number[]
}

/**
 * How one survivor of a lost quorum goes on as a cluster of one (docs/CLUSTER.md, "Recover a lost quorum"). Throws `StorageError` when
 * there is nothing to recover, or too little to do it.
 *
 * The survivor goes on alone, always: a node that only seems to hold the same log could form a quorum with another such node.
 */
export function planRecovery({ restored, clusterId }: Startup, survivor: Survivor): RecoveryPlan {
  const { last, vote, memberships, appliedMembership, recoverUntil, applied } = restored
  const stored = memberships.at(-1) ?? appliedMembership
  const { membership } = stored
  if (last === null || clusterId === null || membership.configs.length === 0) {
    throw refused(`node ${survivor.id} belongs to no cluster: there is nothing to recover`)
  }
  if (recoverUntil !== null) {
    throw refused(
      `the log of node ${survivor.id} has lost acknowledged entries up to ${recoverUntil} and ends at ${last.index}: ` +
        'recover another survivor, or restore a backup',
    )
  }
  const known = membership.nodes.get(survivor.id)
  if (known === undefined) {
    throw refused(`node ${survivor.id} was removed from its cluster: recover a node that was not`)
  }
  const addresses: NodeAddresses = {
    raft: survivor.raft ?? known.raft,
    api: survivor.api ?? known.api,
    incarnation: survivor.incarnation,
  }
  const next: Membership = { configs: [[survivor.id]], nodes: new Map([[survivor.id, addresses]]), removing: [] }
  const role = isVoter(membership, survivor.id) ? 'voter' : 'learner'
  const { id, resetAuth, revisionGap } = survivor
  const kind = isAlone(membership, survivor.id, addresses) && !resetAuth ? 'alone' : 'needed'
  const base = baseOf(survivor, last, vote)
  const facts = { kind, id, clusterId, role, last, vote, next, base, revisionGap, resetAuth } as const
  return { ...facts, applied: indexOf(applied), current: membership, membershipAt: stored.logId }
}

function baseOf({ id, resetAuth, revisionGap }: Survivor, last: LogId, { leaderId }: Vote): LogId {
  const index = last.index + (resetAuth ? 1 : 0) + revisionGap + 1
  const ballot = leaderId.term + 1
  if (index > limits.logIndexMax || ballot > limits.termMax) {
    throw refused(
      `revisions would go on at ${index}, beyond the highest possible index, ${limits.logIndexMax}: choose a smaller --revision-gap`,
    )
  }
  return { leaderId: { term: term(ballot), nodeId: id }, index: logIndex(index) }
}

function isAlone(membership: Membership, id: NodeId, { raft, api }: NodeAddresses): boolean {
  const known = membership.nodes.get(id)
  const [voters = [], ...others] = membership.configs
  const isAt = known?.raft === raft && known.api === api
  return isAt && membership.nodes.size === 1 && others.length === 0 && sameIds(voters, [id])
}

/** The stores that a recovery changes, and its surroundings. */
export interface RecoveryGround extends ReplayGround {
  readonly machine: KvMachineOptions
  readonly randomHex: (digits: number) => string
}

/**
 * Carries the plan out on open stores, in steps each of which is durable before the next, and returns the id of the new cluster.
 *
 * First come the ballot and the cluster id: no node of the old cluster talks to this node any more, and it cannot lead by itself yet. Then
 * everything in the log is executed, and the state made that of one more entry of that ballot, which sets the membership: as if this node had
 * written it alone, and the log before had been freed. After a crash before that, the node serves nobody until the recovery is run again.
 */
export async function carryOutRecovery(plan: RecoveryPlan, startup: Startup, ground: RecoveryGround): Promise<string> {
  const { id, clusterId, last, next, base, revisionGap, resetAuth } = plan
  const { log, state } = ground
  const { leaderId } = base
  // The part of the id that stands for the cluster token stays: the nodes that are to join have the same token.
  const name = `${clusterId.slice(0, clusterId.indexOf('-'))}-${ground.randomHex(MEMBERS_DIGITS)}`
  await log.write([{ type: 'hard-state', state: { vote: { leaderId, committed: true }, clusterId: name } }])
  const end = logIndex(last.index + (resetAuth ? 1 : 0))
  if (resetAuth) {
    const body = authReset(id)
    await log.write([{ type: 'append', batch: { leaderId, first: end, last: end, body, membershipCount: 0 } }])
  }
  const { applied, appliedMembership: membership } = startup.restored
  const machine = new KvMachine(ground.machine, startup.meta?.machine ?? null, startup.auth)
  const reached = await replay({ machine, applied, membership, last: end }, ground)
  const meta: StateMeta = {
    applied: base,
    membership: { logId: base, membership: next },
    machine: machineAfter(revisionGap, base.index, reached),
  }
  await state.write([], encodeStateMeta(meta))
  await state.flush()
  await log.write([{ type: 'reset', purged: base }])
  return name
}

/** An entry that removes all roles and tokens. Nobody waits for its outcome. */
function authReset(id: NodeId): Uint8Array {
  const command = encodeCommand({ type: 'auth-reset', token: NODE_ITSELF, idempotency: null })
  const entry = Buffer.allocUnsafe(commandEntryBytes(command.length))
  commandEntryInto(entry, 0, { node: id, nonce: 0 }, 0, command)
  return entry
}

export function recoveryView(plan: RecoveryPlan): RecoveryView {
  const { kind, clusterId, role, last, applied, vote, current, membershipAt, next, base, resetAuth } = plan
  return {
    kind,
    clusterId,
    role,
    lastLogId: logIdView(last),
    applied,
    uncertain: last.index - applied,
    vote: voteView(vote),
    membership: membershipView(current),
    membershipLogId: logIdView(membershipAt),
    newMembership: membershipView(next),
    revisionsAfter: base.index,
    resetAuth,
    leaving: [...current.nodes.keys()].filter((id) => !next.nodes.has(id)).sort((a, b) => a - b),
  }
}

function refused(message: string): StorageError {
  return new StorageError('refused', message)
}
