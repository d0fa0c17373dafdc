import {
  nodeId,
  sameLeaderId,
  type EntryCodec,
  type LeaderId,
  type LogBatch,
  type LogIndex,
  type Membership,
  type NodeId,
  type StoredMembership,
} from '../../../src/raft/index.ts'

/** An entry as the tests keep it: who wrote it and what it says. */
export interface Entry {
  readonly leaderId: LeaderId
  readonly payload: string
}

const BLANK = 'blank'
const MEMBERSHIP = 'membership '

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function bodyOf(payloads: readonly string[]): Uint8Array {
  return encoder.encode(JSON.stringify(payloads))
}

export function payloadsOf(body: Uint8Array): string[] {
  const parsed: unknown = JSON.parse(decoder.decode(body))
  return Array.isArray(parsed) ? parsed.map(String) : []
}

interface MembershipJson {
  readonly configs: number[][]
  readonly nodes: [number, { raft: string; api: string }][]
  readonly removing: number[]
}

export function membershipPayload({ configs, nodes, removing }: Membership): string {
  return MEMBERSHIP + JSON.stringify({ configs, nodes: [...nodes], removing })
}

export function membershipIn(payload: string): Membership | null {
  if (!payload.startsWith(MEMBERSHIP)) return null
  const { configs, nodes, removing }: MembershipJson = JSON.parse(payload.slice(MEMBERSHIP.length))
  return {
    configs: configs.map((config) => config.map(nodeId)),
    nodes: new Map(nodes.map(([id, addresses]) => [nodeId(id), addresses])),
    removing: removing.map(nodeId),
  }
}

export const codec: EntryCodec = {
  blank: () => bodyOf([BLANK]),
  membership: (membership) => bodyOf([membershipPayload(membership)]),
}

export function addressesOf(id: number): { raft: string; api: string } {
  return { raft: `node${id}:7000`, api: `http://node${id}:8000` }
}

/** `members(1, 2, 3)`: three voters. */
export function members(...voters: number[]): Membership {
  return membership([voters])
}

export function membership(configs: number[][], learners: number[] = [], removing: number[] = []): Membership {
  const ids = [...new Set([...configs.flat(), ...learners])].sort((a, b) => a - b)
  return {
    configs: configs.map((config) => config.map(nodeId)),
    nodes: new Map(ids.map((id) => [nodeId(id), addressesOf(id)])),
    removing: removing.map(nodeId),
  }
}

export function votersIn(stored: StoredMembership): number[][] {
  return stored.membership.configs.map((config) => [...config])
}

/** Groups consecutive entries of one leader into batches. `first` is the index of the first entry. */
export function batchesOf(first: number, entries: readonly Entry[]): LogBatch[] {
  const batches: LogBatch[] = []
  for (let start = 0; start < entries.length;) {
    const leaderId = entries[start]?.leaderId
    if (leaderId === undefined) break
    let end = start
    while (end < entries.length && sameLeaderId(entries[end]?.leaderId ?? leaderId, leaderId)) end += 1
    const payloads = entries.slice(start, end).map((entry) => entry.payload)
    batches.push({
      leaderId,
      first: (first + start) as LogIndex,
      last: (first + end - 1) as LogIndex,
      body: bodyOf(payloads),
      membershipCount: payloads.filter((payload) => payload.startsWith(MEMBERSHIP)).length,
    })
    start = end
  }
  return batches
}

/** Derived from the bodies, as a receiver's driver does. */
export function membershipsIn(batches: readonly LogBatch[]): StoredMembership[] {
  return batches.flatMap(({ leaderId, first, body }) =>
    payloadsOf(body).flatMap((payload, i) => {
      const found = membershipIn(payload)
      return found === null ? [] : [{ logId: { leaderId, index: (first + i) as LogIndex }, membership: found }]
    }),
  )
}

export function id(value: number): NodeId {
  return nodeId(value)
}
