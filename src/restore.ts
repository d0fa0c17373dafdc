import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { LogIdView, MembershipView } from './api/cluster.ts'
import { summaryOf, type BackupSummary } from './backup.ts'
import { StorageError } from './lib/errors.ts'
import { limits } from './limits.ts'
import { readBackup, type Backup } from './node/backup/backup-reader.ts'
import {
  membersProblem,
  planRestore,
  writeRestoredLog,
  type RestorePlan,
  type RestoreWishes,
} from './node/backup/restore-plan.ts'
import { encodeStateMeta } from './node/codec/state-meta.ts'
import { logIdView, membershipView } from './node/membership/api-views.ts'
import type { LogStore } from './ports/log-store.ts'
import type { StateStore } from './ports/state-store.ts'
import { nodeId } from './raft/index.ts'
import { refuseForeignDirectory } from './storage/ownership.ts'
import { beginRestoreDirectory, checkRestorable, type RestoreDirectory } from './storage/restore-directory.ts'
import { RocksStateStore } from './storage/rocksdb/rocks-state-store.ts'
import { WalLogStore } from './storage/wal/wal-log-store.ts'

export { membersProblem }

export interface RestoreOptions extends RestoreWishes {
  readonly dataDirectory: string
  /** The node that the directory will belong to; one of `members`. */
  readonly id: number
  /** False: read the backup and look at the directory, and change nothing. */
  readonly carryOut: boolean
}

/** What was restored, or would be. */
export interface RestoreReport {
  readonly node: number
  readonly isDone: boolean
  readonly backup: BackupSummary
  readonly clusterId: string
  readonly logId: LogIdView
  readonly revision: number
  /** The oldest revision that can be read; as `revision` where no history is kept. */
  readonly compactedRevision: number
  readonly membership: MembershipView
}

/**
 * Makes the data directory of one node of a new cluster from a backup. All of it or nothing: what is interrupted is no data directory.
 * Rejects with `BackupError` for a backup that cannot be used, with `StorageError` for the directory, and with the error of `pieces`.
 */
export async function restore(pieces: AsyncIterable<Uint8Array>, options: RestoreOptions): Promise<RestoreReport> {
  const { dataDirectory, id, carryOut } = options
  const problem = membersProblem(options.members, id)
  if (problem !== null) throw new StorageError('refused', problem)
  await refuseForeignDirectory(dataDirectory)
  await checkRestorable(dataDirectory)
  if (!carryOut) {
    const backup = await readBackup(pieces, { write: async () => {} }, limits)
    return reportOf(backup, planFor(backup, options), options)
  }
  const directory = await beginRestoreDirectory(dataDirectory, nodeId(id))
  try {
    const report = await restoreIn(directory, pieces, options)
    await directory.publish()
    return report
  } catch (error) {
    // Why the restore failed matters more than what cannot be removed; the next one removes it.
    await directory.abandon().catch(() => undefined)
    throw error
  }
}

async function restoreIn(
  { inner: { path } }: RestoreDirectory,
  pieces: AsyncIterable<Uint8Array>,
  options: RestoreOptions,
): Promise<RestoreReport> {
  const { segmentBytes, logCacheBytesMax } = limits
  const log = new WalLogStore({ directory: join(path, 'log'), segmentBytes, cacheBytesMax: logCacheBytesMax })
  const state = new RocksStateStore({ directory: join(path, 'state') })
  try {
    const report = await restoreInto(log, state, pieces, options)
    await state.close()
    await log.close()
    return report
  } catch (error) {
    // Why the restore failed matters more than what cannot be closed.
    await state.close().catch(() => undefined)
    await log.close().catch(() => undefined)
    throw error
  }
}

async function restoreInto(
  log: LogStore,
  state: StateStore,
  pieces: AsyncIterable<Uint8Array>,
  options: RestoreOptions,
): Promise<RestoreReport> {
  await log.open()
  await state.open()
  const install = await state.beginInstall()
  const backup = await readBackup(pieces, install, limits)
  const plan = planFor(backup, options)
  await install.commit(encodeStateMeta(plan.meta))
  await writeRestoredLog(plan, log)
  return reportOf(backup, plan, options)
}

function planFor(backup: Backup, options: RestoreOptions): RestorePlan {
  const plan = planRestore(backup, options, (text) => createHash('sha256').update(text).digest('hex'))
  if (typeof plan === 'string') throw new StorageError('refused', plan)
  return plan
}

function reportOf(
  backup: Backup,
  { clusterId, membership, meta }: RestorePlan,
  options: RestoreOptions,
): RestoreReport {
  const { applied, machine } = meta
  return {
    node: options.id,
    isDone: options.carryOut,
    backup: summaryOf(backup),
    clusterId,
    logId: logIdView(applied) ?? backup.header.logId,
    revision: machine.revision,
    compactedRevision: machine.history?.compactedRevision ?? machine.revision,
    membership: membershipView(membership),
  }
}
