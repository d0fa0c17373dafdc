import { AUTH_ROW, decodeAuthTable, rowBytes, type AuthTable } from '../kv/index.ts'
import { StorageError } from '../lib/errors.ts'
import type { LogContents, LogStore } from '../ports/log-store.ts'
import type { StateStore } from '../ports/state-store.ts'
import type { LogId, LogIndex, NodeId, RaftRestored, StoredMembership } from '../raft/index.ts'
import { NO_MEMBERSHIP, indexOf, sameLeaderId, sameLogId } from '../raft/index.ts'
import { membershipsOf } from './codec/entry.ts'
import type { Logger } from './options.ts'
import type { StateMeta } from './codec/state-meta.ts'
import { decodeStateMeta } from './codec/state-meta.ts'

export interface Startup {
  readonly restored: RaftRestored
  readonly clusterId: string | null
  /** Null when the state machine is empty. */
  readonly meta: StateMeta | null
  /** The roles and tokens in that state. */
  readonly auth: AuthTable | null
}

/**
 * Opens both stores and brings them in line with each other, or refuses.
 *
 * The state may be behind the log (the last writes were not flushed: they are replayed from the log). Or it may be ahead of the log or
 * disagree with it (a crash between the installation of a snapshot and the reset of the log: the log is reset now).
 */
export async function openStores(id: NodeId, log: LogStore, state: StateStore, logger: Logger): Promise<Startup> {
  const contents = await log.open()
  for (const finding of contents.findings) logger.warn({ finding }, 'log repaired at start')
  const meta = readMeta(await state.open())
  const applied = meta?.applied ?? null
  const { purged, last } = await reconcile(log, state, contents, applied)
  // Everything that was applied was committed: an entry that the log has lost is not missing if the state holds it.
  const lostUpTo = contents.lostUpTo !== null && contents.lostUpTo <= indexOf(applied) ? null : contents.lostUpTo
  const reset = purged !== contents.purged
  const appliedMembership = meta?.membership ?? NO_MEMBERSHIP
  const memberships = reset ? [] : membershipsBeyond(contents, indexOf(applied))
  const effective = memberships.at(-1) ?? appliedMembership
  checkRecovery(id, lostUpTo, effective)
  const { vote, clusterId } = contents.hardState
  // The process died after it recorded which cluster it forms, and before it held an entry or gave a vote. It has promised nobody anything,
  // and the nodes that it was to form that cluster with may form another one meanwhile.
  const isBound = last !== null || vote.leaderId.term > 0 || lostUpTo !== null
  return {
    clusterId: isBound ? clusterId : null,
    meta,
    auth: meta === null || meta.machine.auth === 0 ? null : await readAuth(state),
    restored: {
      vote,
      purged,
      last,
      runs: reset ? [] : contents.runs,
      sizes: reset ? [] : contents.sizes,
      applied,
      appliedMembership,
      memberships,
      recoverUntil: lostUpTo,
    },
  }
}

function readMeta(bytes: Uint8Array | null): StateMeta | null {
  if (bytes === null) return null
  const meta = decodeStateMeta(bytes)
  if (meta !== null) return meta
  throw new StorageError(
    'refused',
    'the state was written by another version of Quorate; start a version at least as new',
  )
}

async function readAuth(state: StateStore): Promise<AuthTable> {
  const [row = null] = await state.getMany([rowBytes(AUTH_ROW)])
  if (row === null) throw new StorageError('refused', 'the state has lost its roles and tokens; restore a backup')
  return decodeAuthTable(row)
}

async function reconcile(
  log: LogStore,
  state: StateStore,
  contents: LogContents,
  applied: LogId | null,
): Promise<{ purged: LogId | null; last: LogId | null }> {
  const { purged, last } = contents
  if (indexOf(applied) < indexOf(purged)) {
    throw new StorageError(
      'refused',
      `the state stands at entry ${indexOf(applied)}, but the log begins after entry ${indexOf(purged)}: the state directory ` +
        'is missing or was replaced; remove this node from the membership, wipe its data directory and add it again',
    )
  }
  if (applied === null || sameLogId(applied, purged)) return { purged, last }
  if (applied.index <= indexOf(last) && holds(contents, applied)) return { purged, last }
  // From here on, only the state holds these entries.
  await state.flush()
  await log.write([{ type: 'reset', purged: applied }])
  return { purged: applied, last: applied }
}

/** Whether the retained log has exactly this entry. */
function holds(contents: LogContents, id: LogId): boolean {
  const run = contents.runs.findLast(({ first }) => first <= id.index)
  return run !== undefined && sameLeaderId(run.leaderId, id.leaderId)
}

function membershipsBeyond(contents: LogContents, applied: LogIndex): StoredMembership[] {
  return contents.membershipBatches
    .flatMap((batch) => membershipsOf(batch))
    .filter(({ logId }) => indexOf(logId) > applied)
}

/** A node that has lost its membership too may have peers, and waits for them: nothing says that it is alone. */
function checkRecovery(id: NodeId, lostUpTo: LogIndex | null, effective: StoredMembership): void {
  if (lostUpTo === null) return
  const voters = effective.membership.configs.flat()
  if (voters.length === 0 || voters.some((voter) => voter !== id)) return
  throw new StorageError(
    'refused',
    `the log has lost acknowledged entries up to ${lostUpTo}, and this node has no peers to fetch them from: ` +
      'restore the data directory from a backup',
  )
}
