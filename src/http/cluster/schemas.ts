import { Type, type Static } from 'typebox'
import { limits } from '../../limits.ts'
import { logIdOrNull, MemberSpec, nodeIdMax } from '../membership/schemas.ts'
import { choice, closed, nullable, object, ref } from '../protocol/schema.ts'

export const InitializeBody = object({
  members: Type.Array(MemberSpec, {
    minItems: 1,
    maxItems: limits.membersMax,
    description: 'The voters; one of them is this node.',
  }),
})
export type InitializeBody = Static<typeof InitializeBody>

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

export const InitializeAnswer = object({ clusterId: Type.String(), logId: ref('LogId'), membership: ref('Membership') })

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
