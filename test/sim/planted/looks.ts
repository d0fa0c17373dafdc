import type { ReadOptions } from '../../../src/api/services.ts'
import type { Node } from '../../../src/node/node.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'

/** The same read of whatever this node has. */
function stale(options: ReadOptions): ReadOptions {
  return { ...options, consistency: 'stale', maxStalenessMs: null }
}

/** A lock and its queue are shown as this node has them, and said to be those of the present. */
function showsOldLocks({ services: { leases } }: Node): void {
  const lockQueue = leases.lockQueue.bind(leases)
  leases.lockQueue = async (name, limit, options) => {
    const { context, ...queue } = await lockQueue(name, limit, stale(options))
    return { ...queue, context: { ...context, consistency: options.consistency } }
  }
}

/** The second part of a page of locks is of a later moment. */
function joinsMoments({ services: { leases } }: Node): void {
  const locks = leases.locks.bind(leases)
  leases.locks = async (range, page, options) => {
    const first = await locks(range, { ...page, limit: 1 }, options)
    const last = first.items.at(-1)
    if (!first.more || last === undefined || page.limit === 1) return first
    const rest = await locks(range, { after: last.name, limit: page.limit - 1 }, options)
    return { ...rest, items: [...first.items, ...rest.items], context: first.context }
  }
}

/** A page of the keys of a lease has none between its first and its third. */
function missesKey({ services: { leases } }: Node): void {
  const get = leases.get.bind(leases)
  leases.get = async (id, page, options) => {
    const found = await get(id, page, options)
    if (found.lease === null) return found
    const { keys } = found.lease
    return { ...found, lease: { ...found.lease, keys: { ...keys, items: keys.items.filter((_, at) => at !== 1) } } }
  }
}

/** How much history is kept is told without asking the leader, and said to be so at present. */
function tellsOldBound({ services: { history } }: Node): void {
  const status = history.status.bind(history)
  history.status = async (options) => {
    const told = await status(stale(options))
    return { ...told, context: { ...told.context, consistency: options.consistency } }
  }
}

/** A node tells of the oldest revision that it knew of when it was asked before. */
function boundFalls({ services: { history } }: Node): void {
  const status = history.status.bind(history)
  let before: number | null = null
  history.status = async (options) => {
    const told = await status(options)
    const compactedRevision = before ?? told.status.compactedRevision
    before = before === null ? told.status.compactedRevision : null
    return { ...told, status: { ...told.status, compactedRevision } }
  }
}

/** What a client may read of a lease is decided by the first roles and tokens that the node has known. */
function keepsFirstRoles({ services: { auth }, replica }: Node): void {
  let first = replica.permissions.table
  Object.defineProperty(auth, 'table', {
    get: () => (first ??= replica.permissions.table),
  })
}

export const lookBugs: readonly PlantedBug[] = [
  {
    name: 'lock-of-the-past',
    says: 'a lock and its queue are shown without asking the leader',
    seedsMax: 100,
    needsInspections: true,
    plant: showsOldLocks,
  },
  {
    name: 'locks-of-two-moments',
    says: 'the second part of a page of locks is of a later moment',
    seedsMax: 500,
    needsInspections: true,
    plant: joinsMoments,
  },
  {
    name: 'lease-key-missing',
    says: 'a page of the keys of a lease has all but the second',
    seedsMax: 300,
    needsInspections: true,
    plant: missesKey,
  },
  {
    name: 'compaction-of-the-past',
    says: 'how much history is kept is told without asking the leader',
    seedsMax: 50,
    needsInspections: true,
    plant: tellsOldBound,
  },
  {
    name: 'compaction-bound-falls',
    says: 'a node tells every other time of the oldest revision that it knew of when it was asked before',
    seedsMax: 50,
    needsInspections: true,
    plant: boundFalls,
  },
  {
    name: 'concealed-by-first-roles',
    says: 'a node leaves out of leases what the first roles that it knew did not let a client read',
    seedsMax: 500,
    needsInspections: true,
    plant: keepsFirstRoles,
  },
]
