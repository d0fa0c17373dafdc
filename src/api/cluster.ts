import { Type } from 'typebox'
import { limits } from '../limits.ts'
import { choice, closed, nullable, object, ref, type Shape } from './schema.ts'

/*
 * The shapes that `/cluster` takes and gives. Each stands here once: as the schema that checks it, that documents it and that is its type.
 */

export const NodeId = Type.Integer({
  minimum: 1,
  maximum: limits.nodeIdMax,
  description: 'Identifies a node for its whole life.',
})

/** A host and a port, nothing else: the node connects to whatever address it is given. */
const RaftAddress = Type.String({
  title: 'HOST:PORT',
  format: 'raft-address',
  examples: ['127.0.0.1:7101'],
  description: '`host:port` for the peers; a host that they can reach, so no wildcard such as `0.0.0.0`.',
})
const ApiAddress = Type.String({
  title: 'http://HOST:PORT',
  format: 'api-address',
  examples: ['http://127.0.0.1:7001'],
  description: '`http://host:port` for clients, without a path.',
})

const addresses = { raft: RaftAddress, api: ApiAddress }
/** Goes with every object that has `addresses`. */
const separate = { 'x-separate-listeners': true }

/** A member in an example. `/docs` offers the first example of a body to send, so it holds what is required and nothing else. */
function exampleOf(id: number) {
  return { id, raft: `127.0.0.1:710${id}`, api: `http://127.0.0.1:700${id}` }
}

/** A node and its addresses. */
export const MemberSpec = object({ id: NodeId, ...addresses }, separate)
export type MemberSpec = Shape<typeof MemberSpec>
const NodeIds = Type.Array(NodeId, { maxItems: limits.membersMax, uniqueItems: true })

export const InitializeBody = object(
  {
    members: Type.Array(MemberSpec, {
      minItems: 1,
      maxItems: limits.membersMax,
      'x-distinct': ['id', 'raft', 'api'],
      description: 'The voters; one of them is this node.',
    }),
  },
  { examples: [{ members: [exampleOf(1), exampleOf(2), exampleOf(3)] }] },
)
export type InitializeBody = Shape<typeof InitializeBody>

const changeOptions = {
  retain: Type.Optional(
    Type.Boolean({
      description:
        'Voters that leave stay as learners; a leader that joins nodes automatically promotes them again below its target. Default: false.',
    }),
  ),
  allowLagging: Type.Optional(
    Type.Boolean({ description: 'Accept new voters that have not caught up. Default: false.' }),
  ),
  force: Type.Optional(
    Type.Boolean({ description: 'Change even if the new configuration may have no quorum. Default: false.' }),
  ),
}

export const SetVotersBody = object({ voters: NodeIds, ...changeOptions }, { examples: [{ voters: [1, 2, 3] }] })
export type SetVotersBody = Shape<typeof SetVotersBody>

export const PatchVotersBody = object(
  { add: Type.Optional(NodeIds), remove: Type.Optional(NodeIds), ...changeOptions },
  { 'x-disjoint': ['add', 'remove'], examples: [{ add: [4] }, { remove: [3] }] },
)
export type PatchVotersBody = Shape<typeof PatchVotersBody>

export const AddLearnerBody = object(
  {
    id: NodeId,
    ...addresses,
    wait: Type.Optional(Type.Boolean({ description: 'Answer only when the learner has caught up. Default: true.' })),
  },
  { ...separate, examples: [exampleOf(4)] },
)
export type AddLearnerBody = Shape<typeof AddLearnerBody>

export const SetAddressesBody = object(
  {
    ...addresses,
    force: Type.Optional(
      Type.Boolean({ description: 'Do not check which node answers at the new address. Default: false.' }),
    ),
  },
  { ...separate, examples: [{ raft: exampleOf(4).raft, api: exampleOf(4).api }] },
)
export type SetAddressesBody = Shape<typeof SetAddressesBody>

export const TransferBody = object(
  {
    id: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: limits.nodeIdMax,
        description: 'The node that is to lead. Absent: the voter that is most up to date.',
      }),
    ),
  },
  { examples: [{}, { id: 2 }] },
)
export type TransferBody = Shape<typeof TransferBody>

const index = Type.Integer({ minimum: 0 })

export const LogIdView = Type.Object(
  { term: Type.Integer({ minimum: 0 }), node: Type.Integer({ minimum: 0 }), index },
  { ...closed, $id: 'LogId', description: 'An entry of the log: who wrote it, in which term, at which index.' },
)
export type LogIdView = Shape<typeof LogIdView>

export const VoteView = Type.Object(
  { term: Type.Integer({ minimum: 0 }), node: Type.Integer({ minimum: 0 }), committed: Type.Boolean() },
  { ...closed, $id: 'Vote', description: 'What the node has promised. `committed`: a quorum has granted it.' },
)
export type VoteView = Shape<typeof VoteView>

export const MembershipView = Type.Object(
  {
    configs: Type.Array(Type.Array(Type.Integer()), {
      description: 'The voters; two lists while a change is in progress.',
    }),
    learners: Type.Array(Type.Integer()),
    nodes: Type.Record(Type.String(), object({ raft: Type.String(), api: Type.String() }), {
      description: 'Addresses by node id.',
    }),
  },
  { ...closed, $id: 'Membership' },
)
export type MembershipView = Shape<typeof MembershipView>

const logIdOrNull = nullable(ref(LogIdView))

export const MembershipAnswer = object(
  { membership: ref(MembershipView), logId: logIdOrNull, committed: Type.Boolean(), joint: Type.Boolean() },
  { $id: 'MembershipAnswer' },
)
export type MembershipAnswer = Shape<typeof MembershipAnswer>

export const InitializeAnswer = object({
  clusterId: Type.String(),
  logId: ref(LogIdView),
  membership: ref(MembershipView),
  unanswered: Type.Array(object({ id: Type.Integer(), raft: Type.String(), detail: Type.String() }), {
    description: 'Members that did not answer when the cluster was formed, and why not. Each joins once it is reached.',
  }),
})
export type InitializeAnswer = Shape<typeof InitializeAnswer>

export const LearnerAnswer = object({
  logId: logIdOrNull,
  membership: ref(MembershipView),
  lag: Type.Integer({ minimum: 0, description: 'By how many entries the learner is behind.' }),
  caughtUp: Type.Boolean({ description: 'False: the time was up first; the learner stays and goes on catching up.' }),
})
export type LearnerAnswer = Shape<typeof LearnerAnswer>

/** How far a transfer of the state to one node has come. */
export const SnapshotProgressView = object({
  state: choice(
    ['sending', 'installing', 'waiting', 'delivered'],
    'Waiting: the last attempt failed, and another one follows.',
  ),
  attempt: Type.Integer({ minimum: 1, description: 'Since this node began to lead.' }),
  bytesSent: Type.Integer({ minimum: 0 }),
  bytesEstimate: Type.Integer({
    minimum: 0,
    description: 'In total; an estimate that gets better as the transfer goes on.',
  }),
  percent: Type.Integer({ minimum: 0, maximum: 100 }),
  rowsSent: Type.Integer({ minimum: 0 }),
  remainingMs: nullable(Type.Integer({ minimum: 0 }), 'Until the state has been sent.'),
  lastFailure: nullable(Type.String(), 'Why an earlier attempt failed.'),
})
export type SnapshotProgressView = Shape<typeof SnapshotProgressView>

const memberStatus = {
  raft: Type.String(),
  api: Type.String(),
  role: choice(['voter', 'learner']),
  priority: nullable(
    Type.Integer({ minimum: 0 }),
    'A node of a higher priority leads when it can. Null: not known yet.',
  ),
  reachable: nullable(Type.Boolean()),
  matched: nullable(Type.Integer(), 'The last index that it is known to hold.'),
  lag: nullable(Type.Integer({ minimum: 0 }), 'By how many entries it is behind.'),
  lastContactMs: nullable(Type.Number({ minimum: 0 })),
  phase: nullable(
    choice(['probe', 'snapshot', 'log', 'caught-up']),
    'How it catches up: the leader finds out where it is, sends it the state if it needs that, then the log.',
  ),
  remainingMs: nullable(
    Type.Integer({ minimum: 0 }),
    'About how long the phase will last. Null: not known yet, or nothing remains.',
  ),
  snapshot: nullable(SnapshotProgressView, 'The snapshot that it is being sent, or was sent, until it has caught up.'),
}

export const MemberStatus = Type.Object(memberStatus, {
  ...closed,
  $id: 'MemberStatus',
  description: 'A node as this node sees it. Null: only the leader knows.',
})
export type MemberStatus = Shape<typeof MemberStatus>

export const LearnerStatus = object({ id: Type.Integer(), ...memberStatus, caughtUp: Type.Boolean() })
export type LearnerStatus = Shape<typeof LearnerStatus>

export const LearnersAnswer = object({ learners: Type.Array(LearnerStatus) })
export type LearnersAnswer = Shape<typeof LearnersAnswer>

const stance = {
  decision: Type.String(),
  reason: Type.String({ description: 'Why, in a sentence for people.' }),
  sinceMs: Type.Number({ minimum: 0, description: 'How long this has been the decision.' }),
}

const FormationStatus = object({
  mode: choice(['automatic', 'manual']),
  ...stance,
  decision: choice(['none', 'wait', 'form', 'join', 'refuse', 'resume']),
  seen: Type.Integer({
    minimum: 0,
    description:
      'Nodes with this cluster token that are there, this one included; with `resume` the members of the cluster.',
  }),
  expected: nullable(Type.Integer({ minimum: 1 }), 'How many form the cluster.'),
  failure: nullable(Type.String(), 'Why the last attempt to form a cluster failed.'),
  sightings: Type.Array(object({ address: Type.String(), node: nullable(Type.Integer()), detail: Type.String() }), {
    description: 'What was found at each address, while this node looks for a cluster; nothing with `resume`.',
  }),
})

const JoiningStatus = object({
  mode: choice(['on', 'off']),
  ...stance,
  decision: choice(['none', 'add-learner', 'promote', 'move']),
  failure: nullable(Type.String(), 'Why the last automatic change failed.'),
})

const AutopilotStatus = object({
  mode: choice(['off', 'dry-run', 'on']),
  ...stance,
  decision: choice(['none', 'replace-voter', 'remove-voter', 'remove-learner']),
})

const NodeStateView = choice(['learner', 'follower', 'candidate', 'leader', 'removed', 'shutdown'])
export type NodeStateView = Shape<typeof NodeStateView>

export const DiskView = Type.Object(
  {
    totalBytes: Type.Integer({ minimum: 0 }),
    freeBytes: Type.Integer({ minimum: 0, description: 'What the node may still take.' }),
    reserveBytes: Type.Integer({ minimum: 0, description: 'What is to stay free; 0: nothing.' }),
    short: Type.Boolean({
      description: 'Less was free than the reserve, and not yet a quarter of it more since then.',
    }),
  },
  { ...closed, $id: 'Disk', description: 'The file system of the data directory, as it was last measured.' },
)
export type DiskView = Shape<typeof DiskView>

export const ClusterStatus = Type.Object(
  {
    clusterId: nullable(Type.String()),
    node: object({
      id: Type.Integer(),
      state: NodeStateView,
      incarnation: Type.String({ description: 'Drawn anew for each data directory.' }),
      version: Type.String(),
      uptimeMs: Type.Number({ minimum: 0 }),
      disk: nullable(ref(DiskView), 'Null: not measured yet.'),
    }),
    leader: nullable(Type.Integer()),
    term: Type.Integer({ minimum: 0 }),
    vote: ref(VoteView),
    lastLogId: logIdOrNull,
    committed: logIdOrNull,
    applied: logIdOrNull,
    purged: logIdOrNull,
    membership: nullable(
      object({ effective: ref(MembershipAnswer), committed: ref(MembershipAnswer), joint: Type.Boolean() }),
      'Null while the node knows none.',
    ),
    nodes: Type.Record(Type.String(), ref(MemberStatus), { description: 'By node id.' }),
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
export type ClusterStatus = Shape<typeof ClusterStatus>

export const LeaderAnswer = object({
  leader: nullable(Type.Integer(), 'Null: this node knows none.'),
  raft: nullable(Type.String()),
  api: nullable(Type.String()),
})
export type LeaderAnswer = Shape<typeof LeaderAnswer>

export const TransferAnswer = object({ leader: Type.Integer() })
export type TransferAnswer = Shape<typeof TransferAnswer>
export const ElectionAnswer = object({ node: Type.Integer({ description: 'The node that campaigns.' }) })
export const PurgeAnswer = object({ purged: nullable(ref(LogIdView), 'The last entry that is gone; null: none is.') })
export type PurgeAnswer = Shape<typeof PurgeAnswer>

export const snapshotHeaders = {
  'Quorate-Snapshot-Term': Type.Integer({ minimum: 0 }),
  'Quorate-Snapshot-Node': Type.Integer({ minimum: 0 }),
  'Quorate-Snapshot-Index': Type.Integer({ minimum: 0, description: 'The last entry that the state covers.' }),
  'Quorate-Snapshot-Bytes': Type.Integer({ minimum: 0, description: 'Roughly how many bytes will come.' }),
  'Quorate-Revision': Type.Integer({ minimum: 0, description: 'The revision of the state.' }),
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
