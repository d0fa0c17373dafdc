import type { MembershipView, LogIdView } from './api/cluster.ts'
import { limits } from './limits.ts'
import { readBackup, type Backup } from './node/backup/backup-reader.ts'
import { BackupError, type BackupFault } from './node/backup/format.ts'
import { membershipView } from './node/membership/api-views.ts'

export { BackupError, type BackupFault }

/** What a backup holds. */
export interface BackupSummary {
  readonly id: string
  readonly format: number
  readonly clusterId: string
  readonly logId: LogIdView
  readonly revision: number
  readonly featureLevel: number
  readonly membership: MembershipView
  /** RFC 3339, UTC. */
  readonly createdAt: string
  readonly node: number
  readonly version: string
  readonly keys: number
  readonly leases: number
  /** The changes that its history lists. */
  readonly changes: number
  readonly rows: number
  readonly bytes: number
  /** Over the rows: backups of the same state have the same one. */
  readonly checksum: string
  /** Of all commands that made the state: the one that `GET /cluster` shows. */
  readonly digest: string
}

/** Reads a backup to its end and checks all of it. Rejects with `BackupError`, or with the error of `pieces`. */
export async function checkBackup(pieces: AsyncIterable<Uint8Array>): Promise<BackupSummary> {
  const { idempotentWritesMax } = limits
  return summaryOf(await readBackup(pieces, { write: async () => {} }, { idempotentWritesMax }))
}

export function summaryOf({ format, header, meta, bytes, keys, rows, checksum }: Backup): BackupSummary {
  const { leases, history, digest } = meta.machine
  const { createdAtMs, ...described } = header
  return {
    ...described,
    createdAt: new Date(createdAtMs).toISOString(),
    membership: membershipView(meta.membership.membership),
    format,
    keys,
    leases: leases.leases,
    changes: history?.changes ?? 0,
    rows,
    bytes,
    checksum: checksum.toString(16).padStart(8, '0'),
    digest: String(digest),
  }
}
