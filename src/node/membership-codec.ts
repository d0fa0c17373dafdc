import type { Membership, NodeAddresses, NodeId, StoredMembership } from '../raft/index.ts'
import { logIndex, nodeId, term } from '../raft/index.ts'

/**
 * Memberships as canonical JSON: ids ascending, members in a fixed order, no spaces. Equal memberships give equal bytes,
 * which is what lets several nodes initialise one cluster in parallel.
 */
interface MembershipJson {
  readonly configs: readonly (readonly number[])[]
  /** Id, raft and API address, and the incarnation where it is known. */
  readonly nodes: readonly (readonly [number, string, string, string?])[]
  readonly removing: readonly number[]
}

function toJson(membership: Membership): MembershipJson {
  const nodes = [...membership.nodes].sort(([a], [b]) => a - b)
  return {
    configs: membership.configs.map((voters) => [...voters].sort((a, b) => a - b)),
    nodes: nodes.map(([id, { raft, api, incarnation }]) =>
      incarnation === undefined ? [id, raft, api] : [id, raft, api, incarnation],
    ),
    removing: [...membership.removing].sort((a, b) => a - b),
  }
}

function fromJson(json: MembershipJson): Membership {
  return {
    configs: json.configs.map((voters) => voters.map(nodeId)),
    nodes: new Map(
      json.nodes.map(([id, raft, api, incarnation]): [NodeId, NodeAddresses] => [
        nodeId(id),
        incarnation === undefined ? { raft, api } : { raft, api, incarnation },
      ]),
    ),
    removing: json.removing.map(nodeId),
  }
}

export function encodeMembership(membership: Membership): Uint8Array {
  return Buffer.from(JSON.stringify(toJson(membership)), 'utf8')
}

/** `bytes` were written by `encodeMembership` and came through a checksum. */
export function decodeMembership(bytes: Buffer): Membership {
  return fromJson(JSON.parse(bytes.toString('utf8')) as MembershipJson)
}

export interface StoredMembershipJson {
  readonly logId: readonly [number, number, number] | null
  readonly membership: MembershipJson
}

export function storedMembershipToJson(stored: StoredMembership): StoredMembershipJson {
  const { logId } = stored
  return {
    logId: logId === null ? null : [logId.leaderId.term, logId.leaderId.nodeId, logId.index],
    membership: toJson(stored.membership),
  }
}

export function storedMembershipFromJson(json: StoredMembershipJson): StoredMembership {
  const { logId } = json
  return {
    logId:
      logId === null
        ? null
        : {
            leaderId: { term: term(logId[0]), nodeId: logId[1] === 0 ? 0 : nodeId(logId[1]) },
            index: logIndex(logId[2]),
          },
    membership: fromJson(json.membership),
  }
}
