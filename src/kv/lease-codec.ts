import { limits } from '../limits.ts'
import { DamagedBytesError, type ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import type { LeaseCommand } from './command.ts'
import type { Key } from './key.ts'
import { isChosenLeaseId, isLeaseId } from './lease-id.ts'

/*
 * What a command on a lease or a lock asks for, as its entry holds it after the header that all commands share.
 *
 *   lease-grant   id u64, 0: none is chosen; ttlMs u64
 *   lease-renew   id u64
 *   lease-revoke  id u64, 1 + ifRenewedAt u64, 0: null
 *   lock-acquire  name, ttlMs u64, waitMs u64, owner as bytes of UTF-8
 *   lock-release  name, lease u64
 */

export const LEASE_TYPES = [
  'lease-grant',
  'lease-renew',
  'lease-revoke',
  'lock-acquire',
  'lock-release',
] as const satisfies readonly LeaseCommand['type'][]

type WithoutTag<Kind> = Kind extends LeaseCommand ? Omit<Kind, 'idempotency'> : never

/** A command without its tag. */
export type LeaseBody = WithoutTag<LeaseCommand>

export function encodeLeaseBody(command: LeaseBody): Uint8Array {
  const writer = new ByteWriter()
  switch (command.type) {
    case 'lease-grant':
      return writer
        .u64(command.id ?? 0)
        .u64(command.ttlMs)
        .done()
    case 'lease-renew':
      return writer.u64(command.id).done()
    case 'lease-revoke':
      return writer
        .u64(command.id)
        .u64(command.ifRenewedAt === null ? 0 : 1 + command.ifRenewedAt)
        .done()
    case 'lock-acquire': {
      const { name, ttlMs, waitMs, owner } = command
      return writer.text(name).u64(ttlMs).u64(waitMs).bytes(Buffer.from(owner)).done()
    }
    case 'lock-release':
      return writer.text(command.name).u64(command.lease).done()
  }
}

/** Throws `DamagedBytesError` for what is no body, or exceeds the limits. */
export function readLeaseBody(type: LeaseBody['type'], reader: ByteReader): LeaseBody {
  switch (type) {
    case 'lease-grant': {
      const id = reader.u64()
      if (id !== 0 && !isChosenLeaseId(id)) throw new DamagedBytesError(`${id} is no id that a client may choose`)
      return { type, id: id === 0 ? null : id, ttlMs: readTtl(reader) }
    }
    case 'lease-renew':
      return { type, id: readLease(reader) }
    case 'lease-revoke': {
      const id = readLease(reader)
      const renewed = reader.u64()
      return { type, id, ifRenewedAt: renewed === 0 ? null : renewed - 1 }
    }
    case 'lock-acquire': {
      const name = readName(reader)
      const ttlMs = readTtl(reader)
      const waitMs = reader.u64()
      if (waitMs > limits.lockWaitMsMax) throw new DamagedBytesError(`a wait of ${waitMs} ms`)
      return { type, name, ttlMs, waitMs, owner: readOwner(reader) }
    }
    case 'lock-release':
      return { type, name: readName(reader), lease: readLease(reader) }
  }
}

export function isLeaseTtl(ttlMs: number): boolean {
  return ttlMs >= limits.lease.ttlMsMin && ttlMs <= limits.lease.ttlMsMax
}

function readLease(reader: ByteReader): number {
  const id = reader.u64()
  if (!isLeaseId(id)) throw new DamagedBytesError(`${id} is no id of a lease`)
  return id
}

function readTtl(reader: ByteReader): number {
  const ttlMs = reader.u64()
  if (!isLeaseTtl(ttlMs)) throw new DamagedBytesError(`a lease of ${ttlMs} ms`)
  return ttlMs
}

function readName(reader: ByteReader): Key {
  const text = reader.text()
  if (text.length === 0 || text.length > limits.keyBytesMax)
    throw new DamagedBytesError(`a name of ${text.length} bytes`)
  return text as Key
}

/** Bytes that are not UTF-8 would become others when the command is encoded again. */
function readOwner(reader: ByteReader): string {
  const bytes = Buffer.from(reader.bytes())
  const owner = bytes.toString()
  if (bytes.length > limits.lock.ownerBytesMax || !bytes.equals(Buffer.from(owner)))
    throw new DamagedBytesError('the owner of a lock is too long, or is not UTF-8')
  return owner
}
