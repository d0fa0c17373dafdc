import { Type, type Static, type TProperties, type TSchema } from 'typebox'
import { limits } from '../../limits.ts'

const closed = { additionalProperties: false }
const object = <Properties extends TProperties>(properties: Properties, $id?: string) =>
  Type.Object(properties, $id === undefined ? closed : { ...closed, $id })
const nullable = <Schema extends TSchema>(schema: Schema, description?: string) =>
  Type.Union([schema, Type.Null()], description === undefined ? {} : { description })
const ref = (name: string) => Type.Ref(name)

const nodeIdMax = 2 ** 31 - 1
export const NodeId = Type.Integer({ minimum: 1, maximum: nodeIdMax, description: 'A node for its whole life.' })

/** Host and port, nothing else: the node connects to what it is given. */
const PORT = '(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])'
const HOST_PORT = `(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\\[[0-9A-Fa-f:.]{2,45}\\]):${PORT}`
const RaftAddress = Type.String({
  title: 'HOST:PORT',
  pattern: `^${HOST_PORT}$`,
  examples: ['127.0.0.1:7101'],
  description: '`host:port` for the peers.',
})
const ApiAddress = Type.String({
  title: 'http://HOST:PORT',
  pattern: `^https?://${HOST_PORT}$`,
  examples: ['http://127.0.0.1:7001'],
  description: '`http://host:port` for clients, without a path.',
})

const MemberSpec = object({ id: NodeId, raft: RaftAddress, api: ApiAddress })
const NodeIds = Type.Array(NodeId, { maxItems: limits.membersMax, uniqueItems: true })

export const InitializeBody = object({
  members: Type.Array(MemberSpec, {
    minItems: 1,
    maxItems: limits.membersMax,
    description: 'The voters; one of them is this node.',
  }),
})
export type InitializeBody = Static<typeof InitializeBody>

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

export const TransferBody = object({
  id: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: nodeIdMax,
      description: 'Who shall lead; absent: whoever is most up to date.',
    }),
  ),
})
export type TransferBody = Static<typeof TransferBody>

const index = Type.Integer({ minimum: 0 })

export const LogIdSchema = Type.Object(
  { term: Type.Integer({ minimum: 0 }), node: Type.Integer({ minimum: 0 }), index },
  { ...closed, $id: 'LogId', description: 'An entry of the log: who wrote it, in which term, at which index.' },
)

export const VoteSchema = Type.Object(
  { term: Type.Integer({ minimum: 0 }), node: Type.Integer({ minimum: 0 }), committed: Type.Boolean() },
  { ...closed, $id: 'Vote', description: 'What the node has promised. `committed`: a quorum has granted it.' },
)

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

const logIdOrNull = nullable(ref('LogId'))

export const MembershipAnswerSchema = object(
  { membership: ref('Membership'), logId: logIdOrNull, committed: Type.Boolean(), joint: Type.Boolean() },
  'MembershipAnswer',
)

export const InitializeAnswer = object({ clusterId: Type.String(), logId: ref('LogId'), membership: ref('Membership') })

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

const choice = (...choices: string[]) => Type.Unsafe<string>({ type: 'string', enum: choices })

const stance = {
  decision: Type.String(),
  reason: Type.String({ description: 'Why, in a sentence for people.' }),
  sinceMs: Type.Number({ minimum: 0, description: 'How long this has been the decision.' }),
}

const FormationStatus = object({
  mode: choice('automatic', 'manual'),
  ...stance,
  decision: choice('none', 'wait', 'form', 'join', 'refuse', 'resume'),
  seen: Type.Integer({
    minimum: 0,
    description:
      'Nodes with this cluster token that are there, this one included; with `resume` the members of the cluster.',
  }),
  expected: nullable(Type.Integer({ minimum: 1 }), 'How many form the cluster.'),
  failure: nullable(Type.String(), 'Why the last attempt to form a cluster came to nothing.'),
  sightings: Type.Array(object({ address: Type.String(), node: nullable(Type.Integer()), detail: Type.String() }), {
    description: 'What was found at each address, while this node looks for a cluster; nothing with `resume`.',
  }),
})

const JoiningStatus = object({
  mode: choice('on', 'off'),
  ...stance,
  decision: choice('none', 'add-learner', 'promote', 'move'),
  failure: nullable(Type.String(), 'Why the last automatic change failed.'),
})

const AutopilotStatus = object({
  mode: choice('off', 'dry-run', 'on'),
  ...stance,
  decision: choice('none', 'replace-voter', 'remove-voter', 'remove-learner'),
})

export const ClusterStatusSchema = Type.Object(
  {
    clusterId: nullable(Type.String()),
    node: object({
      id: Type.Integer(),
      state: Type.Unsafe<string>({
        type: 'string',
        enum: ['learner', 'follower', 'candidate', 'leader', 'removed', 'shutdown'],
      }),
      incarnation: Type.String({ description: 'Drawn anew for each data directory.' }),
      version: Type.String(),
      uptimeMs: Type.Number({ minimum: 0 }),
    }),
    leader: nullable(Type.Integer()),
    term: Type.Integer({ minimum: 0 }),
    vote: ref('Vote'),
    lastLogId: logIdOrNull,
    committed: logIdOrNull,
    applied: logIdOrNull,
    purged: logIdOrNull,
    membership: nullable(
      object({ effective: ref('MembershipAnswer'), committed: ref('MembershipAnswer'), joint: Type.Boolean() }),
      'Null while the node knows none.',
    ),
    nodes: Type.Record(Type.String(), ref('MemberStatus'), { description: 'By node id.' }),
    failureTolerance: Type.Integer({
      description: 'How many voters may be down at once before the cluster stops, whether or not some are down now.',
    }),
    digest: Type.String({
      description: 'Of everything applied: equal on all nodes that have applied the same entry last.',
    }),
    warnings: Type.Array(object({ code: Type.String(), detail: Type.String() })),
    formation: FormationStatus,
    joining: JoiningStatus,
    autopilot: AutopilotStatus,
  },
  { ...closed, $id: 'ClusterStatus', description: 'The cluster as this node sees it.' },
)

export const LeaderAnswer = object({
  leader: nullable(Type.Integer(), 'Null: this node knows none.'),
  raft: nullable(Type.String()),
  api: nullable(Type.String()),
})

export const TransferAnswer = object({ leader: Type.Integer() })
export const ElectionAnswer = object({ node: Type.Integer({ description: 'The node that campaigns.' }) })
export const PurgeAnswer = object({ purged: nullable(ref('LogId'), 'The last entry that is gone; null: none is.') })

export const snapshotHeaders = {
  'Quorate-Snapshot-Term': Type.Integer({ minimum: 0 }),
  'Quorate-Snapshot-Node': Type.Integer({ minimum: 0 }),
  'Quorate-Snapshot-Index': Type.Integer({ minimum: 0, description: 'The last entry that the state covers.' }),
}

export const membershipHeaders = {
  'If-Match': Type.String({
    examples: ['"12"'],
    description: 'Only if the membership is still the one of this index.',
  }),
}

export const membershipEtag = {
  ETag: Type.String({ examples: ['"12"'], description: 'The index of the entry that set the membership, in quotes.' }),
}
