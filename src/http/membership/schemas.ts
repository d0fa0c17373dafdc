import { Type, type Static } from 'typebox'
import { HOST_PORT_PATTERN } from '../../lib/host-port.ts'
import { limits } from '../../limits.ts'
import { closed, nullable, object, ref } from '../protocol/schema.ts'

export const nodeIdMax = 2 ** 31 - 1
export const NodeId = Type.Integer({ minimum: 1, maximum: nodeIdMax, description: 'A node for its whole life.' })

/** Host and port, nothing else: the node connects to what it is given. */
const RaftAddress = Type.String({
  title: 'HOST:PORT',
  pattern: `^${HOST_PORT_PATTERN}$`,
  examples: ['127.0.0.1:7101'],
  description: '`host:port` for the peers.',
})
const ApiAddress = Type.String({
  title: 'http://HOST:PORT',
  pattern: `^https?://${HOST_PORT_PATTERN}$`,
  examples: ['http://127.0.0.1:7001'],
  description: '`http://host:port` for clients, without a path.',
})

export const MemberSpec = object({ id: NodeId, raft: RaftAddress, api: ApiAddress })
const NodeIds = Type.Array(NodeId, { maxItems: limits.membersMax, uniqueItems: true })

const changeOptions = {
  retain: Type.Optional(
    Type.Boolean({
      description:
        'Voters that leave stay as learners; a leader that joins nodes automatically promotes them again below its target. Default: false.',
    }),
  ),
  allowLagging: Type.Optional(Type.Boolean({ description: 'Take new voters that are not caught up. Default: false.' })),
  force: Type.Optional(
    Type.Boolean({ description: 'Change even if the new configuration may have no quorum. Default: false.' }),
  ),
}

export const SetVotersBody = object({ voters: NodeIds, ...changeOptions })
export type SetVotersBody = Static<typeof SetVotersBody>

export const PatchVotersBody = object({ add: Type.Optional(NodeIds), remove: Type.Optional(NodeIds), ...changeOptions })
export type PatchVotersBody = Static<typeof PatchVotersBody>

export const AddLearnerBody = object({
  id: NodeId,
  raft: RaftAddress,
  api: ApiAddress,
  wait: Type.Optional(Type.Boolean({ description: 'Answer only when the learner has caught up. Default: true.' })),
})
export type AddLearnerBody = Static<typeof AddLearnerBody>

export const SetAddressesBody = object({
  raft: RaftAddress,
  api: ApiAddress,
  force: Type.Optional(Type.Boolean({ description: 'Do not ask who answers at the new address. Default: false.' })),
})
export type SetAddressesBody = Static<typeof SetAddressesBody>

export const MembershipSchema = Type.Object(
  {
    configs: Type.Array(Type.Array(Type.Integer()), {
      description: 'The voters; two lists while a change is on its way.',
    }),
    learners: Type.Array(Type.Integer()),
    nodes: Type.Record(Type.String(), object({ raft: Type.String(), api: Type.String() }), {
      description: 'Addresses by node id.',
    }),
  },
  { ...closed, $id: 'Membership' },
)

export const logIdOrNull = nullable(ref('LogId'))

export const MembershipAnswerSchema = object(
  { membership: ref('Membership'), logId: logIdOrNull, committed: Type.Boolean(), joint: Type.Boolean() },
  'MembershipAnswer',
)

export const LearnerAnswer = object({
  logId: logIdOrNull,
  membership: ref('Membership'),
  lag: Type.Integer({ minimum: 0, description: 'Entries that the learner is behind.' }),
  caughtUp: Type.Boolean({ description: 'False: the wait ran out; the learner stays and goes on catching up.' }),
})

const memberStatus = {
  raft: Type.String(),
  api: Type.String(),
  role: Type.Unsafe<string>({ type: 'string', enum: ['voter', 'learner'] }),
  priority: nullable(
    Type.Integer({ minimum: 0 }),
    'A node of a higher priority leads when it can. Null: not known yet.',
  ),
  reachable: nullable(Type.Boolean()),
  matched: nullable(Type.Integer(), 'The last index that it is known to hold.'),
  lag: nullable(Type.Integer({ minimum: 0 }), 'Entries that it is behind.'),
  lastContactMs: nullable(Type.Number({ minimum: 0 })),
  phase: nullable(
    Type.Unsafe<string>({ type: 'string', enum: ['probe', 'snapshot', 'log', 'caught-up'] }),
    'How it catches up: it is found out where it is, it is sent the state if it needs that, then the log.',
  ),
  remainingMs: nullable(
    Type.Integer({ minimum: 0 }),
    'About how long the phase will last. Null: that cannot be told yet, or nothing remains.',
  ),
  snapshot: nullable(
    object({
      state: Type.Unsafe<string>({
        type: 'string',
        enum: ['sending', 'installing', 'waiting', 'delivered'],
        description: 'Waiting: the last attempt came to nothing, and another one follows.',
      }),
      attempt: Type.Integer({ minimum: 1, description: 'Since this node leads.' }),
      bytesSent: Type.Integer({ minimum: 0 }),
      bytesEstimate: Type.Integer({ minimum: 0, description: 'In all; found out better as the transfer goes on.' }),
      percent: Type.Integer({ minimum: 0, maximum: 100 }),
      rowsSent: Type.Integer({ minimum: 0 }),
      remainingMs: nullable(Type.Integer({ minimum: 0 }), 'Until the state has been sent.'),
      lastFailure: nullable(Type.String(), 'Why an earlier attempt came to nothing.'),
    }),
    'The snapshot that it is being sent, or was sent, until it has caught up.',
  ),
}

export const MemberStatusSchema = Type.Object(memberStatus, {
  ...closed,
  $id: 'MemberStatus',
  description: 'A node as this node sees it. Null: only the leader knows.',
})

export const LearnersAnswer = object({
  learners: Type.Array(object({ id: Type.Integer(), ...memberStatus, caughtUp: Type.Boolean() })),
})

export const membershipHeaders = {
  'If-Match': Type.String({
    examples: ['"12"'],
    description: 'Only if the membership is still the one of this index.',
  }),
}

export const membershipEtag = {
  ETag: Type.String({ examples: ['"12"'], description: 'The index of the entry that set the membership, in quotes.' }),
}
