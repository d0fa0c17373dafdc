import { limits } from '../../limits.ts'
import type { AddressChange, LearnerRequest, VoterChange } from './changes.ts'
import type { BodyReader } from '../requests/leader-calls.ts'
import { isNodeId } from '../codec/membership-codec.ts'
import type { MemberSpec } from './api-views.ts'

/*
 * The bodies of the requests that are carried to the leader (`LeaderCalls`), read back from JSON. They come from another node: whatever
 * has another shape is refused before anybody works with it.
 */

export const readNothing: BodyReader<null> = (body) => (body === null ? { value: null } : null)

export const readTarget: BodyReader<number | null> = (body) => (body === null || isId(body) ? { value: body } : null)

export const readId: BodyReader<number> = (body) => (isId(body) ? { value: body } : null)

export const readVoterChange: BodyReader<VoterChange> = (body) => {
  if (!isObject(body)) return null
  const { voters, retain, allowLagging, force, ifMembershipAt } = body
  const read = votersOf(voters)
  if (read === null || !isFlag(retain) || !isFlag(allowLagging) || !isFlag(force)) return null
  if (!isIndexOrNull(ifMembershipAt)) return null
  return { value: { voters: read, retain, allowLagging, force, ifMembershipAt } }
}

export const readLearner: BodyReader<LearnerRequest> = (body) => {
  if (!isObject(body)) return null
  const { member, wait } = body
  const read = memberOf(member)
  return read === null || !isFlag(wait) ? null : { value: { member: read, wait } }
}

export const readAddressChange: BodyReader<AddressChange> = (body) => {
  if (!isObject(body)) return null
  const { member, force, ifMembershipAt } = body
  const read = memberOf(member)
  if (read === null || !isFlag(force) || !isIndexOrNull(ifMembershipAt)) return null
  return { value: { member: read, force, ifMembershipAt } }
}

/** The raft address of a node that wishes to join. */
export const readJoin: BodyReader<string> = (body) =>
  isObject(body) && isText(body['raft']) ? { value: body['raft'] } : null

function votersOf(json: unknown): VoterChange['voters'] | null {
  if (isIds(json)) return json
  if (!isObject(json)) return null
  const { add, remove } = json
  return isIds(add) && isIds(remove) ? { add, remove } : null
}

function memberOf(json: unknown): MemberSpec | null {
  if (!isObject(json)) return null
  const { id, raft, api } = json
  return isId(id) && isText(raft) && isText(api) ? { id, raft, api } : null
}

function isObject(json: unknown): json is Readonly<Record<string, unknown>> {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

function isIds(json: unknown): json is number[] {
  return Array.isArray(json) && json.length <= limits.membersReadMax && json.every(isId)
}

function isId(json: unknown): json is number {
  return typeof json === 'number' && isNodeId(json)
}

function isFlag(json: unknown): json is boolean {
  return typeof json === 'boolean'
}

function isText(json: unknown): json is string {
  return typeof json === 'string' && json.length > 0 && json.length <= limits.peerTextBytesMax
}

function isIndexOrNull(json: unknown): json is number | null {
  return (
    json === null || (typeof json === 'number' && Number.isInteger(json) && json >= 0 && json <= limits.logIndexMax)
  )
}
