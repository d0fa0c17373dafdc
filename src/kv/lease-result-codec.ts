import { DamagedBytesError, type ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import type { LockHolder } from './lock.ts'
import type { LeaseResult } from './lease-result.ts'

/*
 * The results of commands on leases and locks, as the first answer of a keyed write holds them: type u8, then by type numbers u64.
 *
 *   lease-granted, lease-renewed  lease, ttlMs
 *   lease-exists, lease-not-found, lock-queued  lease
 *   lease-kept                    lease, renewedAt
 *   lease-revoked                 lease, revision, deleted, 1 if it is done
 *   too-many-leases, too-many-attached-keys  limit
 *   lock-acquired                 lease, token
 *   lock-held                     the holder
 *   lock-not-held                 1 and the holder, or 0
 *   lock-released                 revision, deleted, 1 if it is done
 *   A holder is its lease, its token, and its owner as bytes of UTF-8.
 */
const TYPES = [
  'lease-granted',
  'lease-exists',
  'lease-renewed',
  'lease-not-found',
  'lease-revoked',
  'lease-kept',
  'too-many-leases',
  'too-many-attached-keys',
  'lock-acquired',
  'lock-queued',
  'lock-held',
  'lock-released',
  'lock-not-held',
] as const satisfies readonly LeaseResult['type'][]

export function encodeLeaseResult(result: LeaseResult): Uint8Array {
  const writer = new ByteWriter().u8(TYPES.indexOf(result.type))
  switch (result.type) {
    case 'lease-granted':
    case 'lease-renewed':
      return writer.u64(result.lease).u64(result.ttlMs).done()
    case 'lease-exists':
    case 'lease-not-found':
    case 'lock-queued':
      return writer.u64(result.lease).done()
    case 'lease-kept':
      return writer.u64(result.lease).u64(result.renewedAt).done()
    case 'lease-revoked':
      writer.u64(result.lease)
      return writeEnding(writer, result).done()
    case 'too-many-leases':
    case 'too-many-attached-keys':
      return writer.u64(result.limit).done()
    case 'lock-acquired':
      return writer.u64(result.lease).u64(result.token).done()
    case 'lock-held':
      return writeHolder(writer, result.holder).done()
    case 'lock-released':
      return writeEnding(writer, result).done()
    case 'lock-not-held':
      if (result.holder === null) return writer.u8(0).done()
      return writeHolder(writer.u8(1), result.holder).done()
  }
}

/** Throws `DamagedBytesError`. */
export function readLeaseResult(reader: ByteReader): LeaseResult {
  const type = TYPES[reader.u8()]
  switch (type) {
    case 'lease-granted':
    case 'lease-renewed':
      return { type, lease: reader.u64(), ttlMs: reader.u64() }
    case 'lease-exists':
    case 'lease-not-found':
    case 'lock-queued':
      return { type, lease: reader.u64() }
    case 'lease-kept':
      return { type, lease: reader.u64(), renewedAt: reader.u64() }
    case 'lease-revoked':
      return { type, lease: reader.u64(), ...readEnding(reader) }
    case 'too-many-leases':
    case 'too-many-attached-keys':
      return { type, limit: reader.u64() }
    case 'lock-acquired':
      return { type, lease: reader.u64(), token: reader.u64() }
    case 'lock-held':
      return { type, holder: readHolder(reader) }
    case 'lock-released':
      return { type, ...readEnding(reader) }
    case 'lock-not-held':
      return { type, holder: reader.u8() === 0 ? null : readHolder(reader) }
    default:
      throw new DamagedBytesError('it is of a type that this build does not know')
  }
}

interface Ending {
  readonly revision: number
  readonly deleted: number
  readonly isDone: boolean
}

function writeEnding(writer: ByteWriter, { revision, deleted, isDone }: Ending): ByteWriter {
  return writer
    .u64(revision)
    .u64(deleted)
    .u8(isDone ? 1 : 0)
}

function readEnding(reader: ByteReader): Ending {
  return { revision: reader.u64(), deleted: reader.u64(), isDone: reader.u8() === 1 }
}

function writeHolder(writer: ByteWriter, { lease, token, owner }: LockHolder): ByteWriter {
  return writer.u64(lease).u64(token).bytes(Buffer.from(owner))
}

function readHolder(reader: ByteReader): LockHolder {
  return { lease: reader.u64(), token: reader.u64(), owner: Buffer.from(reader.bytes()).toString() }
}
