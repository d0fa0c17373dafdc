import type { ErrorCode } from '../../lib/errors.ts'
import { leaderErrors, redirectAnswer } from '../protocol/leader-operation.ts'
import {
  bodyErrors,
  CLUSTER_ADMIN,
  CLUSTER_READ,
  jsonAnswer,
  type AnswerDoc,
  type Operation,
} from '../protocol/operation.ts'
import { leaderQuery, timeoutQuery } from '../protocol/queries.ts'
import * as schemas from '../../api/cluster.ts'
import { ref } from '../../api/schema.ts'

const membershipAnswer: AnswerDoc = {
  ...jsonAnswer('The membership.', ref(schemas.MembershipAnswer)),
  headers: schemas.membershipEtag,
}

const changeErrors: readonly ErrorCode[] = [
  ...bodyErrors,
  'not-initialized',
  'membership-change-in-progress',
  ...leaderErrors,
  'outcome-unknown',
]

const voterErrors: readonly ErrorCode[] = [
  ...changeErrors,
  'precondition-failed',
  'learner-lagging',
  'unknown-voter',
  'empty-membership',
  'quorum-at-risk',
]

export const getMembership: Operation = {
  id: 'getMembership',
  access: CLUSTER_READ,
  tag: 'cluster',
  summary: 'The voters and the learners',
  query: timeoutQuery.spec,
  answers: { 200: membershipAnswer },
  errors: ['not-initialized'],
}

export const putMembership: Operation = {
  id: 'setVoters',
  access: CLUSTER_ADMIN,
  tag: 'cluster',
  isPatient: true,
  summary: 'Make exactly these nodes the voters',
  description: 'Answers when the final configuration is committed. New voters must be learners first.',
  query: leaderQuery.spec,
  headers: schemas.membershipHeaders,
  sentAgain:
    'Sent again, it finds these voters and changes nothing. With `If-Match` it undoes no change that was made in between.',
  body: { schema: schemas.SetVotersBody, required: true },
  answers: { 200: membershipAnswer, 307: redirectAnswer },
  errors: voterErrors,
}

export const patchMembership: Operation = {
  ...putMembership,
  id: 'changeVoters',
  summary: 'Add voters and remove voters',
  sentAgain:
    'Sent again, it finds what it added, and `unknown-voter` where it removed. With `If-Match` it undoes no change that was made in between.',
  body: { schema: schemas.PatchVotersBody, required: true },
}

export const addLearner: Operation = {
  id: 'addLearner',
  access: CLUSTER_ADMIN,
  tag: 'cluster',
  isPatient: true,
  summary: 'Add a node that follows without a vote',
  description: 'Repeated with the same addresses it gives the same answer.',
  query: leaderQuery.spec,
  sentAgain: 'Sent again with the same addresses, it finds the learner, and answers when that has caught up.',
  body: { schema: schemas.AddLearnerBody, required: true },
  answers: {
    200: jsonAnswer('Added, and caught up unless the wait ran out.', schemas.LearnerAnswer),
    307: redirectAnswer,
  },
  errors: [...changeErrors, 'address-conflict', 'member-mismatch', 'peer-disagrees'],
}

export const listLearners: Operation = {
  id: 'listLearners',
  access: CLUSTER_READ,
  tag: 'cluster',
  summary: 'Learners and how far they are behind',
  query: leaderQuery.spec,
  answers: { 200: jsonAnswer('The learners.', schemas.LearnersAnswer), 307: redirectAnswer },
  errors: ['not-initialized', ...leaderErrors, 'read-timeout'],
}

export const removeLearner: Operation = {
  id: 'removeLearner',
  access: CLUSTER_ADMIN,
  tag: 'cluster',
  summary: 'Remove a learner',
  path: { id: schemas.NodeId },
  query: leaderQuery.spec,
  sentAgain: 'Sent again, it finds no such learner: `learner-not-found`.',
  answers: { 200: membershipAnswer, 307: redirectAnswer },
  errors: [...changeErrors, 'learner-not-found'],
}

export const setAddresses: Operation = {
  id: 'setAddresses',
  access: CLUSTER_ADMIN,
  tag: 'cluster',
  summary: 'Change the addresses of a member',
  description:
    'The member may be up or down; no node has to answer at the new address yet. Refused when another node, or one without the data of the member, answers there. Change the addresses of one member at a time.',
  path: { id: schemas.NodeId },
  query: leaderQuery.spec,
  headers: schemas.membershipHeaders,
  sentAgain:
    'Sent again, it finds these addresses and changes nothing. With `If-Match` it undoes no change that was made in between.',
  body: { schema: schemas.SetAddressesBody, required: true },
  answers: { 200: membershipAnswer, 307: redirectAnswer },
  errors: [
    ...changeErrors,
    'precondition-failed',
    'node-not-found',
    'address-conflict',
    'member-mismatch',
    'peer-disagrees',
  ],
}
