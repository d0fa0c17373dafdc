import type { LearnerAnswer, LearnerStatus, MemberSpec, MembershipAnswer, TransferAnswer } from '../../api/cluster.ts'
import type { AddressChange, VoterChange } from '../../api/services.ts'
import {
  jsonAmount,
  jsonEither,
  jsonFlag,
  jsonInteger,
  jsonList,
  jsonNull,
  jsonNullable,
  jsonObject,
  jsonRecord,
  jsonText,
  jsonWord,
  type JsonReader,
} from '../../lib/json.ts'
import type { Need } from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import { diskReport, diskVerdict } from './disk-report.ts'

/** A kind of request that the leader carries out for any node. What arrives over the wire is validated before it is used. */
export interface LeaderRequest<Body, Answer> {
  readonly name: string
  /** What a client must be allowed to do that asks for it. */
  readonly needs: readonly Need[]
  readonly body: JsonReader<Body>
  readonly answer: JsonReader<Answer>
}

export interface LearnerRequest {
  readonly member: MemberSpec
  readonly wait: boolean
}

/** A node that wants to join. */
export interface JoinRequest {
  readonly raft: string
}

const id = jsonInteger(1, limits.nodeIdMax)
const ids = jsonList(id, limits.membersReadMax)
const index = jsonInteger(-1, limits.logIndexMax)
const indexOrNull = jsonNullable(jsonInteger(0, limits.logIndexMax))
const address = jsonText(1, limits.peerTextBytesMax)
const note = jsonText(0, limits.jsonBodyBytesMax)
const member = jsonObject({ id, raft: address, api: address })

const voterChange: JsonReader<VoterChange> = jsonObject({
  voters: jsonEither(ids, jsonObject({ add: ids, remove: ids })),
  retain: jsonFlag,
  allowLagging: jsonFlag,
  force: jsonFlag,
  ifMembershipAt: indexOrNull,
})
const addressChange: JsonReader<AddressChange> = jsonObject({ member, force: jsonFlag, ifMembershipAt: indexOrNull })
const learnerRequest: JsonReader<LearnerRequest> = jsonObject({ member, wait: jsonFlag })
const joinRequest: JsonReader<JoinRequest> = jsonObject({ raft: address })

const logId = jsonObject({ term: jsonInteger(0, limits.termMax), node: jsonInteger(0, limits.nodeIdMax), index })
const addresses = jsonObject({ raft: address, api: address })
const membership = jsonObject({
  configs: jsonList(ids, limits.membersReadMax),
  learners: ids,
  nodes: jsonRecord(addresses, limits.membersReadMax),
})
const membershipAnswer: JsonReader<MembershipAnswer> = jsonObject({
  membership,
  logId: jsonNullable(logId),
  committed: jsonFlag,
  joint: jsonFlag,
})
const learnerAnswer: JsonReader<LearnerAnswer> = jsonObject({
  logId: jsonNullable(logId),
  membership,
  lag: jsonAmount,
  caughtUp: jsonFlag,
})
const learnerStatus: JsonReader<LearnerStatus> = jsonObject({
  id,
  raft: address,
  api: address,
  role: jsonWord('voter', 'learner'),
  priority: jsonNullable(jsonAmount),
  reachable: jsonNullable(jsonFlag),
  matched: jsonNullable(index),
  lag: jsonNullable(jsonAmount),
  lastContactMs: jsonNullable(jsonAmount),
  phase: jsonNullable(jsonWord('probe', 'snapshot', 'log', 'caught-up')),
  remainingMs: jsonNullable(jsonAmount),
  snapshot: jsonNullable(
    jsonObject({
      state: jsonWord('sending', 'installing', 'waiting', 'delivered'),
      attempt: jsonAmount,
      bytesSent: jsonAmount,
      bytesEstimate: jsonAmount,
      percent: jsonAmount,
      rowsSent: jsonAmount,
      remainingMs: jsonNullable(jsonAmount),
      lastFailure: jsonNullable(note),
    }),
  ),
  caughtUp: jsonFlag,
})
const transferAnswer: JsonReader<TransferAnswer> = jsonObject({ leader: id })

const ADMIN: readonly Need[] = [{ right: 'cluster:admin' }]
const READ: readonly Need[] = [{ right: 'cluster:read' }]
/** A node asks for itself. */
const NOTHING: readonly Need[] = []

/** All requests that are carried to the leader, under their names on the wire. */
export const leaderRequests = {
  changeVoters: { name: 'change-voters', needs: ADMIN, body: voterChange, answer: membershipAnswer },
  addLearner: { name: 'add-learner', needs: ADMIN, body: learnerRequest, answer: learnerAnswer },
  removeLearner: { name: 'remove-learner', needs: ADMIN, body: id, answer: membershipAnswer },
  setAddresses: { name: 'set-addresses', needs: ADMIN, body: addressChange, answer: membershipAnswer },
  learners: { name: 'learners', needs: READ, body: jsonNull, answer: jsonList(learnerStatus, limits.membersReadMax) },
  /** The node that should lead; null: the one that is most up to date. */
  transfer: { name: 'transfer', needs: ADMIN, body: jsonNullable(id), answer: transferAnswer },
  /** Tells the leader the address of a node that wants to join. */
  join: { name: 'join', needs: NOTHING, body: joinRequest, answer: jsonNull },
  /** Tells the leader how the disk of a node is. Null: it has not heard of all disks yet. */
  diskReport: { name: 'disk-report', needs: NOTHING, body: diskReport, answer: jsonNullable(diskVerdict) },
  /** How much time a lease has left; null: the leader does not know it. */
  leaseTime: {
    name: 'lease-time',
    needs: NOTHING,
    body: jsonInteger(1, Number.MAX_SAFE_INTEGER),
    answer: jsonNullable(jsonInteger(0, limits.lease.ttlMsMax)),
  },
} as const satisfies Readonly<Record<string, LeaderRequest<unknown, unknown>>>
