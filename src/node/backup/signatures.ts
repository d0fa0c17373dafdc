import { BACKUP_MAGIC } from './format.ts'

interface Signature {
  readonly at: number
  /** In Latin-1. */
  readonly bytes: string
  /** What the file is, and what may be done with it. */
  readonly what: string
}

/** Files that are taken for backups by mistake. */
const signatures: readonly Signature[] = [
  { at: 0, bytes: '\x1f\x8b', what: 'a file that was compressed with gzip: unpack it first (gunzip)' },
  { at: 0, bytes: '\x28\xb5\x2f\xfd', what: 'a file that was compressed with zstd: unpack it first (zstd -d)' },
  { at: 0, bytes: '\xfd7zXZ\0', what: 'a file that was compressed with xz: unpack it first (xz -d)' },
  { at: 0, bytes: 'BZh', what: 'a file that was compressed with bzip2: unpack it first (bunzip2)' },
  { at: 0, bytes: 'PK\x03\x04', what: 'a ZIP archive: unpack it first' },
  { at: 0, bytes: 'age-encryption.org/', what: 'a file that was encrypted with age: decrypt it first' },
  { at: 257, bytes: 'ustar', what: 'a tar archive: unpack it first' },
  { at: 16, bytes: '\xed\xda\x0c\xed', what: 'a database of etcd (bbolt), as `etcdctl snapshot save` writes it' },
  { at: 0, bytes: 'SQLite format 3\0', what: 'a database of SQLite, such as a backup of rqlite' },
  { at: 0, bytes: 'REDIS', what: 'a database of Redis' },
  { at: 0, bytes: '{"key":', what: 'an export of records: `quorate kv import` takes it' },
  { at: 0, bytes: '{', what: 'JSON, perhaps the answer of a server to a request that it refused' },
  { at: 0, bytes: '<', what: 'HTML or XML, perhaps the answer of another server' },
]

/** How many bytes of a file show what it is. */
export const SIGNATURE_BYTES = 262

/** Bytes of the magic word that may differ in a file that is a backup all the same, and damaged. */
const DAMAGED_BYTES_MAX = 2

/** What a file is that begins with `start`; null: not known. */
export function productOf(start: Uint8Array): string | null {
  const text = Buffer.from(start).toString('latin1')
  return signatures.find(({ at, bytes }) => text.startsWith(bytes, at))?.what ?? null
}

/** Whether a file that begins with `start` is nearly a backup. */
export function isNearlyBackup(start: Uint8Array): boolean {
  const wrong = BACKUP_MAGIC.filter((byte, at) => start[at] !== byte).length
  return wrong <= DAMAGED_BYTES_MAX
}
