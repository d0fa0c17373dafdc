import { randomBytes, randomInt } from 'node:crypto'
import { join } from 'node:path'
import { StorageError } from './lib/errors.ts'
import { limits } from './limits.ts'
import { carryOutRecovery, planRecovery, recoveryView, type RecoveryView } from './node/membership/lost-quorum.ts'
import { openStores } from './node/startup.ts'
import { openDataDirectory, readNodeId, type DataDirectory } from './storage/identity.ts'
import { refuseForeignDirectory } from './storage/ownership.ts'
import { DamagedStateError } from './storage/rocksdb/binding.ts'
import { RocksStateStore } from './storage/rocksdb/rocks-state-store.ts'
import { WalLogStore } from './storage/wal/wal-log-store.ts'
import { systemClock } from './system-clock.ts'

export interface RecoveryOptions {
  readonly dataDirectory: string
  /** The node that the directory must belong to; null: any node. */
  readonly id: number | null
  /** New addresses of the survivor; null: unchanged. */
  readonly raft: string | null
  readonly api: string | null
  /** Remove all roles and tokens, for an operator who has lost every token. */
  readonly resetAuth: boolean
  /** How many revisions are left out after those of the survivor. */
  readonly revisionGap: number
  /** False: only inspect the directory. */
  readonly carryOut: boolean
}

export interface RecoveryReport extends RecoveryView {
  readonly node: number
  readonly incarnation: string
  /** Null unless the recovery was carried out. */
  readonly newClusterId: string | null
  /** Repairs that were made when the stores were opened, as at any start. */
  readonly findings: readonly string[]
}

/**
 * Makes the node of a data directory a cluster of its own. No process may run on the directory. Rejects with `StorageError`
 * (`refused`) when the directory is not fit for that. It may be repeated, and interrupted at any moment.
 */
export async function recover(options: RecoveryOptions): Promise<RecoveryReport> {
  await refuseForeignDirectory(options.dataDirectory)
  const found = await readNodeId(options.dataDirectory)
  if (found === null) {
    throw new StorageError('refused', `${options.dataDirectory} is not the data directory of a node`)
  }
  if (options.id !== null && options.id !== found) {
    throw new StorageError('refused', `${options.dataDirectory} belongs to node ${found}, not to node ${options.id}`)
  }
  const directory = await openDataDirectory(options.dataDirectory, { nodeId: found })
  try {
    return await recoverIn(directory, found, options)
  } catch (error) {
    if (!(error instanceof DamagedStateError)) throw error
    throw new StorageError(
      'refused',
      `${error.message} Start the node once, so that it sets the state aside and rebuilds it from the log; then recover it.`,
      { cause: error },
    )
  } finally {
    await directory.close()
  }
}

async function recoverIn(
  { path, incarnation }: DataDirectory,
  id: NonNullable<Awaited<ReturnType<typeof readNodeId>>>,
  { raft, api, resetAuth, revisionGap, carryOut }: RecoveryOptions,
): Promise<RecoveryReport> {
  const { segmentBytes, logCacheBytesMax } = limits
  const log = new WalLogStore({ directory: join(path, 'log'), segmentBytes, cacheBytesMax: logCacheBytesMax })
  const state = new RocksStateStore({ directory: join(path, 'state') })
  const findings: string[] = []
  const note = (facts: object, event: string): void => void findings.push(`${event}: ${JSON.stringify(facts)}`)
  try {
    const startup = await openStores(id, log, state, { debug: () => undefined, info: note, warn: note, error: note })
    const plan = planRecovery(startup, { id, incarnation, raft, api, resetAuth, revisionGap })
    const isDone = carryOut && plan.kind === 'needed'
    const randomHex = (digits: number): string =>
      randomBytes(Math.ceil(digits / 2))
        .toString('hex')
        .slice(0, digits)
    const hashKey = [randomInt(2 ** 32), randomInt(2 ** 32)] as const
    const ground = { log, state, clock: systemClock, hashKey, machine: limits, randomHex }
    const newClusterId = isDone ? await carryOutRecovery(plan, startup, ground) : null
    return { node: id, incarnation, newClusterId, findings, ...recoveryView(plan) }
  } finally {
    // Everything that was written is durable. The reason why a store could not be opened matters more than why it cannot be closed.
    await state.close().catch(() => undefined)
    await log.close().catch(() => undefined)
  }
}
