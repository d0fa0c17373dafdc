import { limits } from '../../limits.ts'
import type { LogId, Membership, NodeAddresses, NodeId, StoredMembership } from '../../raft/index.ts'
import { logIndex, membershipProblem, nodeId, term } from '../../raft/index.ts'

/** Bytes that are not a membership. */
export class MembershipError extends Error {
  override readonly name = 'MembershipError'

  constructor(why: string) {
    super(`a membership that cannot be read: ${why}`)
  }
}

/**
 * Memberships as canonical JSON: ids ascending, members in a fixed order, no spaces. Equal memberships give equal bytes, and that lets
 * several nodes initialise one cluster in parallel.
 */
interface MembershipJson {
  readonly configs: readonly (readonly number[])[]
  /** Id, raft and API address, and the incarnation if it is known. */
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

/** Another node's membership and one of our own are read the same way; reading one of our own cannot fail. */
function fromJson(json: unknown): Membership {
  const { configs, nodes, removing }: Readonly<Partial<Record<keyof MembershipJson, unknown>>> = objectOf(json)
  const members = listOf(nodes, memberOf)
  const membership: Membership = {
    configs: listOf(configs, (voters) => listOf(voters, idOf)),
    nodes: new Map(members),
    removing: listOf(removing, idOf),
  }
  if (membership.nodes.size !== members.length) throw new MembershipError('it names a node twice')
  const problem = membership.configs.length === 0 ? null : membershipProblem(membership)
  if (problem !== null) throw new MembershipError(problem)
  return membership
}

function objectOf(json: unknown): object {
  if (typeof json !== 'object' || json === null) throw new MembershipError('it is not an object')
  return json
}

function listOf<T>(json: unknown, read: (element: unknown) => T): T[] {
  if (!Array.isArray(json) || json.length > limits.membersReadMax)
    throw new MembershipError('it lacks a list, or a list is too long')
  return json.map(read)
}

function idOf(json: unknown): NodeId {
  if (typeof json !== 'number' || !isNodeId(json)) throw new MembershipError('a node id is not valid')
  return nodeId(json)
}

function memberOf(json: unknown): [NodeId, NodeAddresses] {
  const [id, raft, api, incarnation]: readonly unknown[] = Array.isArray(json) ? json : []
  const addresses = { raft: textOf(raft), api: textOf(api) }
  return [idOf(id), incarnation === undefined ? addresses : { ...addresses, incarnation: textOf(incarnation) }]
}

function textOf(json: unknown): string {
  if (typeof json !== 'string' || json.length > limits.peerTextBytesMax)
    throw new MembershipError('it lacks a text, or a text is too long')
  return json
}

function isNodeId(value: number): boolean {
  return Number.isInteger(value) && value > 0 && value <= limits.nodeIdMax
}

export function encodeMembership(membership: Membership): Uint8Array {
  return Buffer.from(JSON.stringify(toJson(membership)), 'utf8')
}

/** Throws `MembershipError` for bytes that `encodeMembership` did not write. */
export function decodeMembership(bytes: Buffer): Membership {
  const membership = fromJson(parsed(bytes))
  if (membership.configs.length === 0) throw new MembershipError('it has no voters')
  return membership
}

/** The JSON in `bytes`. Throws `MembershipError`. */
export function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw new MembershipError('it is not JSON')
  }
}

interface StoredMembershipJson {
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

/** Throws `MembershipError` for JSON that `storedMembershipToJson` did not write. */
export function storedMembershipFromJson(json: unknown): StoredMembership {
  const { logId, membership }: Readonly<Partial<Record<keyof StoredMembershipJson, unknown>>> = objectOf(json)
  if (logId === null) return { logId, membership: fromJson(membership) }
  const [high, owner, index]: readonly unknown[] = Array.isArray(logId) ? logId : []
  const read = logIdOf(high, owner, index)
  if (read === null) throw new MembershipError('its log id is not valid')
  return { logId: read, membership: fromJson(membership) }
}

/** The log id of these three numbers; null when they do not form one. */
export function logIdOf(high: unknown, owner: unknown, index: unknown): LogId | null {
  if (!isCount(high, limits.termMax) || !isCount(index, limits.logIndexMax) || !isCount(owner, limits.nodeIdMax))
    return null
  return { leaderId: { term: term(high), nodeId: owner === 0 ? 0 : nodeId(owner) }, index: logIndex(index) }
}

function isCount(json: unknown, max: number): json is number {
  return typeof json === 'number' && Number.isInteger(json) && json >= 0 && json <= max
}
