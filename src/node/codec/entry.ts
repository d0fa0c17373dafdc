import { commandFault, isBeyondThisBuild } from '../../kv/index.ts'
import { ENTRY_LENGTH_BYTES } from '../../lib/entries.ts'
import type {
  AppendRequest,
  EntryCodec,
  LogBatch,
  LogIndex,
  Membership,
  NodeId,
  StoredMembership,
} from '../../raft/index.ts'
import { logIndex } from '../../raft/index.ts'
import { decodeMembership, encodeMembership, MembershipError } from './membership-codec.ts'

/**
 * What an entry of the log holds, after the length that lib/entries puts before it:
 *
 *   blank        u8 kind
 *   membership   u8 kind, canonical JSON
 *   command      u8 kind, u32 origin node, u32 origin nonce, u48 request number, then the command as kv encodes it
 *
 * Numbers are little-endian. The origin and the request number name the request that the command came from, so that the node
 * that took the request recognises it when it applies the entry, whoever proposed it.
 */
const KIND_BLANK = 0
const KIND_MEMBERSHIP = 1
const KIND_COMMAND = 2

const COMMAND_HEADER_BYTES = 1 + 4 + 4 + 6

/** A process that takes requests: its node, and a random number drawn at its start. */
export interface Origin {
  readonly node: NodeId
  readonly nonce: number
}

/** A command, with the origin and the number of the request that waits for it. */
export interface CommandEntry {
  readonly kind: 'command'
  readonly index: LogIndex
  readonly originNode: number
  readonly originNonce: number
  readonly requestNumber: number
  readonly command: Uint8Array
}

export type Entry =
  | { readonly kind: 'blank'; readonly index: LogIndex }
  | { readonly kind: 'membership'; readonly index: LogIndex; readonly membership: Membership }
  | CommandEntry

/** Bytes that are not an entry known to this version. The node must not skip them: it stops. */
class UnknownEntryError extends Error {
  override readonly name = 'UnknownEntryError'
}

/** How much room `commandEntryInto` needs for a command of `commandBytes` bytes. */
export function commandEntryBytes(commandBytes: number): number {
  return ENTRY_LENGTH_BYTES + COMMAND_HEADER_BYTES + commandBytes
}

/** Writes a command entry into `body` at `offset`; returns the offset after it. */
export function commandEntryInto(
  body: Buffer,
  offset: number,
  origin: Origin,
  requestNumber: number,
  command: Uint8Array,
): number {
  body.writeUInt32LE(COMMAND_HEADER_BYTES + command.length, offset)
  body[offset + 4] = KIND_COMMAND
  body.writeUInt32LE(origin.node, offset + 5)
  body.writeUInt32LE(origin.nonce, offset + 9)
  body.writeUIntLE(requestNumber, offset + 13, 6)
  body.set(command, offset + 19)
  return offset + 19 + command.length
}

/** The body of a batch of commands of `origin`, each with the number that it has there. */
export function commandEntries(
  origin: Origin,
  commands: readonly { readonly number: number; readonly command: Uint8Array }[],
): Uint8Array {
  let size = 0
  for (const { command } of commands) size += commandEntryBytes(command.length)
  const body = Buffer.allocUnsafeSlow(size)
  let offset = 0
  for (const { number, command } of commands) offset = commandEntryInto(body, offset, origin, number, command)
  return body
}

function single(kind: number, payload: Uint8Array): Uint8Array {
  const body = Buffer.allocUnsafe(ENTRY_LENGTH_BYTES + 1 + payload.length)
  body.writeUInt32LE(1 + payload.length, 0)
  body[4] = kind
  body.set(payload, 5)
  return body
}

const NOTHING = new Uint8Array(0)

export const entryCodec: EntryCodec = {
  blank: () => single(KIND_BLANK, NOTHING),
  membership: (membership) => single(KIND_MEMBERSHIP, encodeMembership(membership)),
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function decodeEntry(body: Buffer, from: number, to: number, index: LogIndex): Entry {
  const kind = from < to ? body[from] : undefined
  switch (kind) {
    case KIND_BLANK:
      return { kind: 'blank', index }
    case KIND_MEMBERSHIP:
      return { kind: 'membership', index, membership: decodeMembership(body.subarray(from + 1, to)) }
    case KIND_COMMAND:
      if (to - from < COMMAND_HEADER_BYTES) break
      return {
        kind: 'command',
        index,
        originNode: body.readUInt32LE(from + 1),
        originNonce: body.readUInt32LE(from + 5),
        requestNumber: body.readUIntLE(from + 9, 6),
        command: body.subarray(from + COMMAND_HEADER_BYTES, to),
      }
    default:
  }
  throw new UnknownEntryError(
    `log entry ${index} is of kind ${kind ?? 'none'} with ${to - from} bytes, which this version does not know; ` +
      'start a version at least as new as the one that wrote it',
  )
}

/** The entries of a batch, in order. Commands are slices of the body. */
export function entriesOf(batch: LogBatch): Entry[] {
  const body = asBuffer(batch.body)
  const entries: Entry[] = []
  let index: number = batch.first
  for (let offset = 0; offset < body.length; index++) {
    const from = offset + ENTRY_LENGTH_BYTES
    const to = from + body.readUInt32LE(offset)
    entries.push(decodeEntry(body, from, to, logIndex(index)))
    offset = to
  }
  return entries
}

/** The memberships that a batch sets, ascending. Throws `UnknownEntryError` when there are not as many as the batch says. */
export function membershipsOf(batch: LogBatch): StoredMembership[] {
  if (batch.membershipCount === 0) return []
  const found: StoredMembership[] = []
  for (const entry of entriesOf(batch)) {
    if (entry.kind !== 'membership') continue
    found.push({ logId: { leaderId: batch.leaderId, index: entry.index }, membership: entry.membership })
  }
  if (found.length !== batch.membershipCount) {
    throw new UnknownEntryError(
      `entries ${batch.first} to ${batch.last} hold ${found.length} memberships but say ${batch.membershipCount}`,
    )
  }
  return found
}

/** An append request whose entries this node can execute, with the memberships that they set; or what is wrong with it. */
export type ReadAppend = { readonly kind: 'sound'; readonly message: AppendRequest } | RefusedAppend

interface RefusedAppend {
  readonly kind: 'unsound' | 'beyond-this-build'
  readonly detail: string
}

/**
 * Checks every entry that another node sends. An entry that this node cannot execute would stop it when the entry is applied, and again at
 * every start. The core does not read entries, so it is told which memberships they hold.
 */
export function readAppend(message: AppendRequest): ReadAppend {
  const memberships: StoredMembership[] = []
  for (const batch of message.batches) {
    const before = memberships.length
    const refused = readBatch(batch, memberships)
    if (refused !== null) return refused
    if (memberships.length - before !== batch.membershipCount)
      return unsound('a batch does not hold as many memberships as it says')
  }
  return { kind: 'sound', message: memberships.length === 0 ? message : { ...message, memberships } }
}

function readBatch(batch: LogBatch, memberships: StoredMembership[]): RefusedAppend | null {
  const body = asBuffer(batch.body)
  let index: number = batch.first
  for (let offset = 0; offset < body.length; index++) {
    const from = offset + ENTRY_LENGTH_BYTES
    const to = from + body.readUInt32LE(offset)
    const fault = entryFault(body, from, to)
    if (fault !== null && isBeyond(body, from, to)) return { kind: 'beyond-this-build', detail: fault }
    if (fault !== null) return unsound(`entry ${index}: ${fault}`)
    if (body[from] === KIND_MEMBERSHIP) {
      const membership = membershipOrNull(body.subarray(from + 1, to))
      if (membership === null) return unsound(`entry ${index} is not a membership`)
      memberships.push({ logId: { leaderId: batch.leaderId, index: logIndex(index) }, membership })
    }
    offset = to
  }
  return null
}

function unsound(detail: string): RefusedAppend {
  return { kind: 'unsound', detail }
}

/** Whether nothing says that an entry which this build cannot execute is damaged: a newer build may know it. */
function isBeyond(body: Buffer, from: number, to: number): boolean {
  if (from === to) return false
  return body[from] !== KIND_COMMAND || isBeyondThisBuild(body.subarray(from + COMMAND_HEADER_BYTES, to))
}

/** Why this build cannot execute an entry, apart from its membership; null when it can. */
function entryFault(body: Buffer, from: number, to: number): string | null {
  switch (from < to ? body[from] : undefined) {
    case KIND_BLANK:
    case KIND_MEMBERSHIP:
      return null
    case KIND_COMMAND:
      if (to - from < COMMAND_HEADER_BYTES) return 'a command that is cut off'
      return commandFault(body.subarray(from + COMMAND_HEADER_BYTES, to))
    default:
      return `of kind ${body[from] ?? 'none'}, which this version does not know`
  }
}

function membershipOrNull(bytes: Buffer): Membership | null {
  try {
    return decodeMembership(bytes)
  } catch (error) {
    if (error instanceof MembershipError) return null
    throw error
  }
}

/** Checks entries that node `from` wants appended: they must be its own commands, and as many as it says. Null when they are in order. */
export function faultOfForwarded(body: Uint8Array, count: number, from: NodeId): string | null {
  const bytes = asBuffer(body)
  let found = 0
  let offset = 0
  while (offset + ENTRY_LENGTH_BYTES <= bytes.length) {
    const start = offset + ENTRY_LENGTH_BYTES
    const end = start + bytes.readUInt32LE(offset)
    if (end > bytes.length) break
    if (bytes[start] !== KIND_COMMAND) return 'an entry that is not a command'
    const fault = entryFault(bytes, start, end)
    if (fault !== null) return fault
    if (bytes.readUInt32LE(start + 1) !== from) return 'a command of another node'
    offset = end
    found += 1
  }
  if (offset !== bytes.length) return 'lengths that do not add up'
  return found === count && count > 0 ? null : `${found} entries where ${count} are announced`
}

/** The process that took the requests in a forwarded body. */
export function originOf(body: Uint8Array): string {
  const bytes = asBuffer(body)
  return `${bytes.readUInt32LE(5)}:${bytes.readUInt32LE(9)}`
}
