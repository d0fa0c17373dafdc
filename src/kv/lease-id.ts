import { limits } from '../limits.ts'

/*
 * Ids of leases. A client chooses one below `limits.lease.idMax`, and may choose it again once that lease has ended. The others are made from
 * the revision of the entry that grants them, so none of them ever names a second lease, and the id tells what the lease is for.
 */
const GRANTED = 1_000_000_000_000_000
const OF_KEY = 2_000_000_000_000_000
const OF_LOCK = 3_000_000_000_000_000
const END = 4_000_000_000_000_000

/** The id of a lease whose client has chosen none. */
export function grantedLeaseId(revision: number): number {
  return GRANTED + revision
}

/** The id of a lease that belongs to one key, which was written with a time to live. */
export function keyLeaseId(revision: number): number {
  return OF_KEY + revision
}

/** The id of a lease that holds a lock, or waits for it. */
export function lockLeaseId(revision: number): number {
  return OF_LOCK + revision
}

/** The revision of the entry that made a lease of a lock. */
export function revisionOfLockLease(id: number): number {
  return id - OF_LOCK
}

/** Whether the lease belongs to one key, and ends with it. */
export function isKeyLease(id: number): boolean {
  return id >= OF_KEY && id < OF_LOCK
}

/** Whether the lease holds a lock, or waits for one. */
export function isLockLease(id: number): boolean {
  return id >= OF_LOCK && id < END
}

/** Whether any lease can have this id. */
export function isLeaseId(id: number): boolean {
  return Number.isSafeInteger(id) && id >= 1 && id < END
}

/** Whether a client may choose this id. */
export function isChosenLeaseId(id: number): boolean {
  return Number.isSafeInteger(id) && id >= 1 && id <= limits.lease.idMax
}
