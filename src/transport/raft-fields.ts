import { limits } from '../limits.ts'
import type {
  LeaderId,
  LogId,
  LogIndex,
  Membership,
  NodeAddresses,
  NodeId,
  StoredMembership,
  Term,
  Vote,
} from '../raft/index.ts'
import { DecodeError } from './decode-error.ts'
import type { FieldReader } from './field-reader.ts'
import type { FrameWriter } from './frame-writer.ts'

export function writeNodeId(writer: FrameWriter, id: NodeId | 0): void {
  writer.u32(id)
}

export function readNodeId(reader: FieldReader): NodeId {
  const id = readNodeIdOrZero(reader)
  if (id === 0) throw new DecodeError('a node id is 0')
  return id
}

export function readNodeIdOrZero(reader: FieldReader): NodeId | 0 {
  const id = reader.u32()
  if (id > limits.nodeIdMax) throw new DecodeError(`a node id is ${id}`)
  return id as NodeId | 0
}

export function writeOptionalNodeId(writer: FrameWriter, id: NodeId | null): void {
  writeNodeId(writer, id ?? 0)
}

export function readOptionalNodeId(reader: FieldReader): NodeId | null {
  const id = readNodeIdOrZero(reader)
  return id === 0 ? null : id
}

/** One more than the index, so that `BEFORE_FIRST` fits. */
export function writeIndex(writer: FrameWriter, index: LogIndex): void {
  writer.u64(index + 1)
}

export function readIndex(reader: FieldReader): LogIndex {
  return (reader.u64(limits.logIndexMax + 1) - 1) as LogIndex
}

export function writeLeaderId(writer: FrameWriter, leaderId: LeaderId): void {
  writer.u64(leaderId.term)
  writeNodeId(writer, leaderId.nodeId)
}

export function readLeaderId(reader: FieldReader): LeaderId {
  const term = reader.u64(limits.termMax) as Term
  const nodeId = readNodeIdOrZero(reader)
  if ((term === 0) !== (nodeId === 0)) throw new DecodeError(`a ballot of term ${term} belongs to node ${nodeId}`)
  return { term, nodeId }
}

export function writeVote(writer: FrameWriter, vote: Vote): void {
  writeLeaderId(writer, vote.leaderId)
  writer.flag(vote.committed)
}

export function readVote(reader: FieldReader): Vote {
  const leaderId = readLeaderId(reader)
  return { leaderId, committed: reader.flag() }
}

export function writeLogId(writer: FrameWriter, logId: LogId): void {
  writeLeaderId(writer, logId.leaderId)
  writer.u64(logId.index)
}

export function readLogId(reader: FieldReader): LogId {
  const leaderId = readLeaderId(reader)
  return { leaderId, index: reader.u64(limits.logIndexMax) as LogIndex }
}

export function writeOptionalLogId(writer: FrameWriter, logId: LogId | null): void {
  writer.flag(logId !== null)
  if (logId !== null) writeLogId(writer, logId)
}

export function readOptionalLogId(reader: FieldReader): LogId | null {
  return reader.flag() ? readLogId(reader) : null
}

export function writeAddresses(writer: FrameWriter, addresses: NodeAddresses): void {
  writer.text(addresses.raft)
  writer.text(addresses.api)
}

export function readAddresses(reader: FieldReader): NodeAddresses {
  const raft = readPeerText(reader)
  return { raft, api: readPeerText(reader) }
}

/** Texts that a node sends about itself or another node are kept in memory and may be displayed. */
export function readPeerText(reader: FieldReader): string {
  return reader.text(limits.peerTextBytesMax)
}

function readMember(reader: FieldReader): NodeAddresses {
  const addresses = readAddresses(reader)
  const incarnation = readPeerText(reader)
  return incarnation === '' ? addresses : { ...addresses, incarnation }
}

export function writeMembership(writer: FrameWriter, stored: StoredMembership): void {
  const { configs, nodes, removing } = stored.membership
  writeOptionalLogId(writer, stored.logId)
  writer.u8(configs.length)
  for (const config of configs) writeNodeIds(writer, config)
  writer.u32(nodes.size)
  for (const [id, addresses] of nodes) {
    writeNodeId(writer, id)
    writeAddresses(writer, addresses)
    writer.text(addresses.incarnation ?? '')
  }
  writeNodeIds(writer, removing)
}

export function readMembership(reader: FieldReader): StoredMembership {
  const logId = readOptionalLogId(reader)
  const configCount = reader.u8()
  if (configCount > 2) throw new DecodeError(`a membership has ${configCount} configurations`)
  const configs: NodeId[][] = []
  for (let i = 0; i < configCount; i++) configs.push(readNodeIds(reader))
  const nodes = new Map<NodeId, NodeAddresses>()
  const nodeCount = reader.count(16)
  if (nodeCount > limits.membersReadMax) throw new DecodeError(`a membership has ${nodeCount} nodes`)
  for (let i = 0; i < nodeCount; i++) nodes.set(readNodeId(reader), readMember(reader))
  if (nodes.size !== nodeCount) throw new DecodeError('a membership names a node twice')
  const membership: Membership = { configs, nodes, removing: readNodeIds(reader) }
  checkVoters(membership)
  return { logId, membership }
}

function checkVoters(membership: Membership): void {
  for (const config of membership.configs) {
    if (config.length === 0) throw new DecodeError('a configuration has no voters')
    let previous = 0
    for (const voter of config) {
      if (voter <= previous) throw new DecodeError('the voters of a configuration are not ascending')
      if (!membership.nodes.has(voter)) throw new DecodeError(`voter ${voter} is not among the nodes`)
      previous = voter
    }
  }
}

function writeNodeIds(writer: FrameWriter, ids: readonly NodeId[]): void {
  writer.u32(ids.length)
  for (const id of ids) writeNodeId(writer, id)
}

function readNodeIds(reader: FieldReader): NodeId[] {
  const count = reader.count(4)
  const ids: NodeId[] = []
  for (let i = 0; i < count; i++) ids.push(readNodeId(reader))
  return ids
}
