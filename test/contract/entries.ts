import type { LogBatch, LogId, LogIndex, NodeId, Term } from '../../src/raft/index.ts'

/** Shorthands for the values that log stores deal in. */

export function logId(term: number, node: number, index: number): LogId {
  return { leaderId: { term: term as Term, nodeId: node as NodeId }, index: index as LogIndex }
}

export function index(value: number): LogIndex {
  return value as LogIndex
}

/** The bytes of entry `at` written in `term`: different for each, so that a wrong one is noticed. */
function entry(term: number, at: number, bytes = 12): Buffer {
  const content = Buffer.alloc(4 + bytes, at % 251)
  content.writeUInt32LE(bytes, 0)
  if (bytes >= 12) {
    content.writeUInt32LE(term, 4)
    content.writeDoubleLE(at, 8)
  }
  return content
}

export function batch(term: number, first: number, last: number, bytes = 12, membershipCount = 0): LogBatch {
  const entries: Buffer[] = []
  for (let at = first; at <= last; at++) entries.push(entry(term, at, bytes))
  return {
    leaderId: { term: term as Term, nodeId: 1 as NodeId },
    first: index(first),
    last: index(last),
    body: Buffer.concat(entries),
    membershipCount,
  }
}

/** The entries of `batches`, one string each, for instance `2@17`; throws when the batches do not fit together. */
export function describeEntries(batches: readonly LogBatch[]): string[] {
  const entries: string[] = []
  let next: number | null = null
  for (const { first, last, body, leaderId } of batches) {
    if (next !== null && first !== next) throw new Error(`batch ${first} follows ${next - 1}`)
    let offset = 0
    for (let at: number = first; at <= last; at++) {
      const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
      const length = bytes.readUInt32LE(offset)
      const content = bytes.subarray(offset, offset + 4 + length)
      if (!content.equals(entry(leaderId.term, at, length))) throw new Error(`entry ${at} has the wrong bytes`)
      entries.push(`${leaderId.term}@${at}`)
      offset += 4 + length
    }
    if (offset !== body.length) throw new Error(`batch ${first} has ${body.length - offset} bytes too many`)
    next = last + 1
  }
  return entries
}

/** `1@3, 1@4, ...` for entries `first` to `last` of one term. */
export function entryNames(term: number, first: number, last: number): string[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => `${term}@${first + i}`)
}
