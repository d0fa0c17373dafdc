import { Type } from 'typebox'
import type { Need } from '../../kv/index.ts'
import type { ErrorCode } from '../../lib/errors.ts'
import { leaderErrors, redirectAnswer } from '../protocol/leader-operation.ts'
import {
  bodyErrors,
  CLUSTER_ADMIN,
  CLUSTER_ADMIN_HERE,
  CLUSTER_READ,
  jsonAnswer,
  type Operation,
} from '../protocol/operation.ts'
import { oneOf, redirect, timeout } from '../protocol/parameters.ts'
import { leaderQuery, timeoutQuery } from '../protocol/queries.ts'
import { QueryReader } from '../protocol/query.ts'
import * as schemas from '../../api/cluster.ts'
import { ref } from '../../api/schema.ts'

/** The node belongs to no cluster: it has joined none yet, or it has been removed. */
const memberErrors: readonly ErrorCode[] = ['not-initialized', 'removed', 'shutting-down']

export const initializeQuery = new QueryReader({
  wait: oneOf(
    ['appended', 'leader', 'committed'],
    'appended',
    'When to answer: the first entry is on disk, a leader is known, or the entry is committed.',
  ),
  timeout,
})

export const initialize: Operation = {
  id: 'initializeCluster',
  access: CLUSTER_ADMIN_HERE,
  tag: 'cluster',
  isPatient: true,
  summary: 'Form a new cluster',
  description: 'Without a body: of this node alone. Safe to send to several of the members, if all get the same list.',
  query: initializeQuery.spec,
  sentAgain: 'Sent again, it forms nothing: `already-initialized` names the cluster that there is.',
  body: { schema: schemas.InitializeBody, required: false },
  answers: { 200: jsonAnswer('Formed.', schemas.InitializeAnswer) },
  errors: [
    ...bodyErrors,
    'already-initialized',
    'peer-disagrees',
    'member-mismatch',
    'not-in-members',
    'no-leader',
    'not-ready',
    'shutting-down',
    'outcome-unknown',
  ],
}

export const status: Operation = {
  id: 'getCluster',
  access: CLUSTER_READ,
  tag: 'cluster',
  summary: 'The cluster as this node sees it',
  description: 'Answered by any node in any state.',
  query: timeoutQuery.spec,
  answers: { 200: jsonAnswer('The status.', ref(schemas.ClusterStatus)) },
  errors: [],
}

export const getLeader: Operation = {
  id: 'getLeader',
  access: CLUSTER_READ,
  tag: 'cluster',
  summary: 'Who leads, as far as this node knows',
  query: timeoutQuery.spec,
  answers: { 200: jsonAnswer('The leader and its addresses, or nulls.', schemas.LeaderAnswer) },
  errors: [],
}

export const transferLeader: Operation = {
  id: 'transferLeadership',
  access: CLUSTER_ADMIN,
  tag: 'cluster',
  summary: 'Hand leadership over',
  description: 'Answers once the new leader leads.',
  query: leaderQuery.spec,
  sentAgain: 'Sent again with `id`, it finds that node leading. Without `id`, leadership is handed over once more.',
  body: { schema: schemas.TransferBody, required: false },
  answers: { 200: jsonAnswer('Handed over.', schemas.TransferAnswer), 307: redirectAnswer },
  errors: [
    ...bodyErrors,
    'node-not-found',
    'not-initialized',
    'no-transfer-target',
    ...leaderErrors,
    'outcome-unknown',
  ],
}

export const campaign: Operation = {
  id: 'campaign',
  access: CLUSTER_ADMIN_HERE,
  tag: 'cluster',
  summary: 'Let this node stand for election',
  description: 'A pre-vote comes first, so a healthy leader is not disturbed.',
  query: timeoutQuery.spec,
  sentAgain: 'Sent again, the node stands once more, unless it leads by then.',
  answers: { 202: jsonAnswer('The node campaigns.', schemas.ElectionAnswer) },
  errors: [...bodyErrors, ...memberErrors, 'no-transfer-target'],
}

export const snapshotQuery = new QueryReader({
  consistency: oneOf(
    ['linearizable', 'stale'],
    'linearizable',
    'Everything that was acknowledged before the request; or `stale`: what this node has, also without a leader.',
  ),
  timeout,
  redirect,
})

/** Of those who take a backup: it holds every key. */
export const backupNeeds: readonly Need[] = [
  { right: 'cluster:admin' },
  { access: 'read', range: { start: null, end: null } },
]

export const snapshot: Operation = {
  id: 'getSnapshot',
  access: { needs: backupNeeds, isConfirmed: false },
  isAudited: true,
  tag: 'cluster',
  summary: 'The state of this node as a backup',
  description:
    'One consistent state, with history, leases, locks and settings, in the format that `quorate restore` takes. Every part is checked: a ' +
    'stream that was cut off, or changed on the way, is told from a whole one (`quorate backup verify`).',
  query: snapshotQuery.spec,
  answers: {
    200: {
      description: 'The state, as a stream.',
      headers: schemas.snapshotHeaders,
      content: { 'application/octet-stream': Type.Unsafe<string>({ type: 'string', format: 'binary' }) },
    },
    307: redirectAnswer,
  },
  errors: [...memberErrors, 'overloaded', 'no-leader', 'not-ready', 'read-timeout'],
}

export const purge: Operation = {
  id: 'purgeLog',
  access: CLUSTER_ADMIN_HERE,
  tag: 'cluster',
  summary: 'Free the log entries of this node that its state covers',
  query: timeoutQuery.spec,
  sentAgain: 'Sent again, it frees what is covered by then.',
  answers: { 200: jsonAnswer('Freed.', schemas.PurgeAnswer) },
  errors: [...bodyErrors, ...memberErrors],
}
