import { Type } from 'typebox'
import type { ErrorCode } from '../../lib/errors.ts'
import type { AnswerDoc, Operation } from '../protocol/operation.ts'
import { oneOf, redirect, timeout } from '../protocol/parameters.ts'
import { QueryReader } from '../protocol/query.ts'
import * as schemas from './schemas.ts'
import { leaderErrors, redirectAnswer } from '../keys/operations.ts'

const json = 'application/json'
const answer = (description: string, schema: Parameters<typeof Type.Array>[0]): AnswerDoc => ({
  description,
  content: { [json]: schema },
})
const membershipAnswer: AnswerDoc = {
  ...answer('The membership.', Type.Ref('MembershipAnswer')),
  headers: schemas.membershipEtag,
}

/** A body that is not JSON, not valid, or too large. */
const bodyErrors: readonly ErrorCode[] = ['forbidden', 'unsupported-media-type', 'request-too-large']

export const noQuery = new QueryReader({})
export const timeoutQuery = new QueryReader({ timeout })
export const leaderQuery = new QueryReader({ timeout, redirect })
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
  tag: 'cluster',
  summary: 'Form a new cluster',
  description: 'Without a body: of this node alone. Safe to send to several of the members, if all get the same list.',
  query: initializeQuery.spec,
  body: { schema: schemas.InitializeBody, required: false },
  answers: { 200: answer('Formed.', schemas.InitializeAnswer) },
  errors: [
    ...bodyErrors,
    'already-initialized',
    'peer-disagrees',
    'member-mismatch',
    'address-conflict',
    'not-in-members',
    'no-leader',
    'not-ready',
    'shutting-down',
    'outcome-unknown',
  ],
}

export const status: Operation = {
  id: 'getCluster',
  tag: 'cluster',
  summary: 'The cluster as this node sees it',
  description: 'Answered by any node in any state.',
  query: noQuery.spec,
  answers: { 200: answer('The status.', Type.Ref('ClusterStatus')) },
  errors: [],
}

const changeErrors: readonly ErrorCode[] = [
  ...bodyErrors,
  'not-initialized',
  'membership-change-in-progress',
  'precondition-failed',
  ...leaderErrors,
  'outcome-unknown',
]

const voterErrors: readonly ErrorCode[] = [
  ...changeErrors,
  'learner-lagging',
  'unknown-voter',
  'empty-membership',
  'quorum-at-risk',
]

export const getMembership: Operation = {
  id: 'getMembership',
  tag: 'cluster',
  summary: 'Who votes and who learns',
  query: noQuery.spec,
  answers: { 200: membershipAnswer },
  errors: ['not-initialized'],
}

export const putMembership: Operation = {
  id: 'setVoters',
  tag: 'cluster',
  summary: 'Make exactly these nodes the voters',
  description: 'Answers when the final configuration is committed. New voters must be learners first.',
  query: leaderQuery.spec,
  headers: schemas.membershipHeaders,
  body: { schema: schemas.SetVotersBody, required: true },
  answers: { 200: membershipAnswer, 307: redirectAnswer },
  errors: voterErrors,
}

export const patchMembership: Operation = {
  ...putMembership,
  id: 'changeVoters',
  summary: 'Add voters and remove voters',
  body: { schema: schemas.PatchVotersBody, required: true },
}

export const addLearner: Operation = {
  id: 'addLearner',
  tag: 'cluster',
  summary: 'Add a node that follows without a vote',
  description: 'Repeated with the same addresses it gives the same answer.',
  query: leaderQuery.spec,
  body: { schema: schemas.AddLearnerBody, required: true },
  answers: { 200: answer('Added, and caught up unless the wait ran out.', schemas.LearnerAnswer), 307: redirectAnswer },
  errors: [...changeErrors, 'address-conflict', 'member-mismatch', 'peer-disagrees'],
}

export const listLearners: Operation = {
  id: 'listLearners',
  tag: 'cluster',
  summary: 'Learners and how far they are behind',
  query: leaderQuery.spec,
  answers: { 200: answer('The learners.', schemas.LearnersAnswer), 307: redirectAnswer },
  errors: ['not-initialized', ...leaderErrors, 'read-timeout'],
}

export const removeLearner: Operation = {
  id: 'removeLearner',
  tag: 'cluster',
  summary: 'Remove a learner',
  path: { id: schemas.NodeId },
  query: leaderQuery.spec,
  answers: { 200: membershipAnswer, 307: redirectAnswer },
  errors: [...changeErrors, 'learner-not-found'],
}

export const setAddresses: Operation = {
  id: 'setAddresses',
  tag: 'cluster',
  summary: 'Change the addresses of a member',
  description:
    'The member may be up or down; nobody has to answer at the new address yet. Refused when another node, or one without the data of the member, answers there. Change the addresses of one member at a time.',
  path: { id: schemas.NodeId },
  query: leaderQuery.spec,
  headers: schemas.membershipHeaders,
  body: { schema: schemas.SetAddressesBody, required: true },
  answers: { 200: membershipAnswer, 307: redirectAnswer },
  errors: [...changeErrors, 'node-not-found', 'address-conflict', 'member-mismatch', 'peer-disagrees'],
}

export const getLeader: Operation = {
  id: 'getLeader',
  tag: 'cluster',
  summary: 'Who leads, as far as this node knows',
  query: noQuery.spec,
  answers: { 200: answer('The leader and its addresses, or nulls.', schemas.LeaderAnswer) },
  errors: [],
}

export const transferLeader: Operation = {
  id: 'transferLeadership',
  tag: 'cluster',
  summary: 'Hand leadership over',
  description: 'Answers once the new leader leads.',
  query: leaderQuery.spec,
  body: { schema: schemas.TransferBody, required: false },
  answers: { 200: answer('Handed over.', schemas.TransferAnswer), 307: redirectAnswer },
  errors: [
    ...bodyErrors,
    'node-not-found',
    'not-initialized',
    'membership-change-in-progress',
    'no-transfer-target',
    'learner-lagging',
    ...leaderErrors,
    'outcome-unknown',
  ],
}

export const campaign: Operation = {
  id: 'campaign',
  tag: 'cluster',
  summary: 'Let this node stand for election',
  description: 'A pre-vote comes first, so a healthy leader is not disturbed.',
  query: noQuery.spec,
  answers: { 202: answer('The node campaigns.', schemas.ElectionAnswer) },
  errors: [...bodyErrors, 'not-initialized', 'not-ready', 'removed', 'shutting-down'],
}

export const snapshot: Operation = {
  id: 'getSnapshot',
  tag: 'cluster',
  summary: 'The state of this node as a backup',
  query: timeoutQuery.spec,
  answers: {
    200: {
      description: 'The state, as a stream.',
      headers: schemas.snapshotHeaders,
      content: { 'application/octet-stream': Type.Unsafe<string>({ type: 'string', format: 'binary' }) },
    },
  },
  errors: ['not-initialized', 'overloaded', 'not-ready', 'shutting-down'],
}

export const purge: Operation = {
  id: 'purgeLog',
  tag: 'cluster',
  summary: 'Free the log entries of this node that its state covers',
  query: timeoutQuery.spec,
  answers: { 200: answer('Freed.', schemas.PurgeAnswer) },
  errors: [...bodyErrors, 'not-ready', 'shutting-down'],
}
