import { limits } from '../limits.ts'
import type { NodeEndpoints, Pledge } from '../ports/automation.ts'
import type { Candidacy, Hello, HelloAnswer, NodeReport, Refusal } from '../ports/transport.ts'
import type { NodeId } from '../raft/index.ts'
import { DecodeError } from './decode-error.ts'
import type { FieldReader } from './field-reader.ts'
import type { FrameWriter } from './frame-writer.ts'
import {
  readAddresses,
  readMembership,
  readNodeId,
  readNodeIdOrZero,
  readOptionalLogId,
  readOptionalNodeId,
  readPeerText,
  readVote,
  writeAddresses,
  writeMembership,
  writeNodeId,
  writeOptionalLogId,
  writeOptionalNodeId,
  writeVote,
} from './raft-fields.ts'

/*
 * A node with another protocol version must be able to read the hello and the refusal that answers it. These fields therefore
 * never move. A later protocol adds its own fields after them, and they are skipped here.
 */

const PURPOSES = ['messages', 'snapshot', 'probe'] as const satisfies Hello['purpose'][]

export function writeHello(writer: FrameWriter, hello: Hello): void {
  writer.u32(hello.protocol)
  writer.u8(PURPOSES.indexOf(hello.purpose))
  writeNodeId(writer, hello.from)
  writeNodeId(writer, hello.to)
  writeOptionalText(writer, hello.clusterId)
  writer.text(hello.incarnation)
  writeAddresses(writer, hello.addresses)
  writeOptionalText(writer, hello.token)
}

export function readHello(reader: FieldReader): Hello {
  const protocol = reader.u32()
  const purpose = reader.oneOf(PURPOSES)
  const from = readNodeIdOrZero(reader)
  const to = readNodeIdOrZero(reader)
  const clusterId = readOptionalText(reader)
  const incarnation = readPeerText(reader)
  const addresses = readAddresses(reader)
  // Builds that do not say which token they have end here.
  const token = reader.remaining > 0 ? readOptionalText(reader) : null
  reader.raw(reader.remaining)
  return { protocol, purpose, from, to, clusterId, incarnation, addresses, token }
}

const REFUSAL_CODES = [
  'wrong-node',
  'wrong-cluster',
  'wrong-incarnation',
  'wrong-protocol',
  'self',
  'removed',
  'shutting-down',
  'bad-hello',
  'same-id',
  'stranger',
  'wrong-certificate',
] as const satisfies Refusal['code'][]

export function writeHelloAnswer(writer: FrameWriter, answer: HelloAnswer): void {
  writer.flag(answer.kind === 'welcome')
  if (answer.kind === 'refused') {
    writer.u8(REFUSAL_CODES.indexOf(answer.refusal.code))
    writer.text(answer.refusal.detail)
    writer.flag(answer.report !== null)
  }
  if (answer.report !== null) writeReport(writer, answer.report)
}

export function readHelloAnswer(reader: FieldReader): HelloAnswer {
  const answer = readAnswerFields(reader)
  reader.raw(reader.remaining)
  return answer
}

function readAnswerFields(reader: FieldReader): HelloAnswer {
  if (reader.flag()) return { kind: 'welcome', report: readReport(reader) }
  const code = reader.oneOf(REFUSAL_CODES)
  const refusal: Refusal = { code, detail: reader.text(limits.peerDetailBytesMax) }
  return { kind: 'refused', refusal, report: reader.flag() ? readReport(reader) : null }
}

function writeReport(writer: FrameWriter, report: NodeReport): void {
  writeNodeId(writer, report.id)
  writer.text(report.incarnation)
  writeOptionalText(writer, report.clusterId)
  writer.flag(report.initialized)
  writeVote(writer, report.vote)
  writeOptionalLogId(writer, report.last)
  writeOptionalNodeId(writer, report.leader)
  writeMembership(writer, report.effective)
  writeAddresses(writer, report.addresses)
  writer.text(report.version)
  writer.flag(report.candidacy !== null)
  if (report.candidacy !== null) {
    writer.text(report.candidacy.token)
    writeOptionalText(writer, report.candidacy.proposal)
    writer.u32(report.candidacy.round)
    writePledge(writer, report.candidacy.pledge)
  }
  writer.u8(report.leaderPriority)
  writer.u8(report.level)
  writeOptionalText(writer, report.token)
}

function readReport(reader: FieldReader): NodeReport {
  const id = readNodeId(reader)
  const incarnation = readPeerText(reader)
  const clusterId = readOptionalText(reader)
  const initialized = reader.flag()
  const vote = readVote(reader)
  const last = readOptionalLogId(reader)
  const leader = readOptionalNodeId(reader)
  const effective = readMembership(reader)
  const addresses = readAddresses(reader)
  const version = readPeerText(reader)
  const candidacy = reader.flag() ? readCandidacy(reader) : null
  const leaderPriority = reader.u8()
  if (leaderPriority > limits.leaderPriorityMax) throw new DecodeError(`a leader priority is ${leaderPriority}`)
  // Builds before the first feature level end here.
  const level = reader.remaining > 0 ? reader.u8() : 0
  const token = reader.remaining > 0 ? readOptionalText(reader) : null
  const facts = { id, incarnation, clusterId, initialized, vote, last, leader }
  return { ...facts, effective, addresses, version, candidacy, leaderPriority, level, token }
}

function readCandidacy(reader: FieldReader): Candidacy {
  const token = readPeerText(reader)
  const proposal = readOptionalText(reader)
  const round = reader.u32()
  if (round > limits.pledgeRoundsMax) throw new DecodeError(`a pledge has round ${round}`)
  return { token, proposal, round, pledge: readPledge(reader) }
}

function writePledge(writer: FrameWriter, pledge: Pledge | null): void {
  writeOptionalText(writer, pledge?.clusterId ?? null)
  if (pledge === null) return
  writer.u32(pledge.members.length)
  for (const { id, ...addresses } of pledge.members) {
    writeNodeId(writer, id as NodeId)
    writeAddresses(writer, addresses)
  }
}

function readPledge(reader: FieldReader): Pledge | null {
  const clusterId = readOptionalText(reader)
  if (clusterId === null) return null
  const count = reader.u32()
  if (count > limits.membersMax) throw new DecodeError(`a pledge names ${count} members`)
  const members: NodeEndpoints[] = []
  for (let i = 0; i < count; i++) {
    const id = readNodeId(reader)
    const { raft, api } = readAddresses(reader)
    members.push({ id, raft, api })
  }
  return { clusterId, members }
}

function writeOptionalText(writer: FrameWriter, text: string | null): void {
  writer.flag(text !== null)
  if (text !== null) writer.text(text)
}

function readOptionalText(reader: FieldReader): string | null {
  return reader.flag() ? readPeerText(reader) : null
}
