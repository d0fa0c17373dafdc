import { Type } from 'typebox'
import { limits } from '../limits.ts'
import { choice, nullable, object, type Shape } from './schema.ts'

/* The shapes that `/leases` and `/locks` take and give. */

const days = (ms: number): number => ms / 86_400_000

const ttlMs = Type.Integer({
  minimum: limits.lease.ttlMsMin,
  maximum: limits.lease.ttlMsMax,
  examples: [10_000],
  description: `How long it lasts unless it is renewed: ${limits.lease.ttlMsMin} ms to ${days(limits.lease.ttlMsMax)} days.`,
})

const leaseId = (description: string) =>
  Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, examples: [1_000_000_000_000_017], description })

const USES = ['keys', 'key', 'lock', 'lock-wait'] as const
const use = choice(
  USES,
  'What it is for: `keys` may be attached; it is that of one `key`, written with `ttl=`; it holds a `lock`; it waits for one (`lock-wait`).',
)

export const LeaseBody = object({
  ttlMs,
  id: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.lease.idMax,
      description: 'An id of your own. Without it, the lease gets one that no other lease ever has.',
    }),
  ),
})
export type LeaseBody = Shape<typeof LeaseBody>

export const LeaseAnswer = object({ id: leaseId('The id.'), ttlMs })
export type LeaseAnswer = Shape<typeof LeaseAnswer>

export const KeepaliveAnswer = object({
  id: leaseId('The id.'),
  remainingMs: Type.Integer({
    minimum: 0,
    description: 'How long it lasts from the moment on at which the request was sent.',
  }),
})
export type KeepaliveAnswer = Shape<typeof KeepaliveAnswer>

const leaseMembers = {
  id: leaseId('The id.'),
  ttlMs,
  use,
  lock: Type.Optional(Type.String({ description: 'The name of the lock that it holds or waits for.' })),
  ending: Type.Boolean({ description: 'It is over: some of its keys are removed, the rest is about to be.' }),
}

export const LeaseStatus = object({
  ...leaseMembers,
  remainingMs: Type.Integer({ minimum: 0, description: 'How much time it has left, as the leader measures it.' }),
  keys: Type.Array(Type.String(), { maxItems: limits.listItemsMax, description: 'The keys that go with it.' }),
  cursor: Type.Optional(Type.String({ description: 'Where the next page of keys begins; absent on the last.' })),
})
export type LeaseStatus = Shape<typeof LeaseStatus>

export const LeasesAnswer = object({
  leases: Type.Array(object(leaseMembers), { maxItems: limits.listItemsMax }),
  cursor: Type.Optional(Type.String({ description: 'Where the next page begins; absent on the last.' })),
})
export type LeasesAnswer = Shape<typeof LeasesAnswer>

export const LeaseEndAnswer = object({
  revision: Type.Integer({ minimum: 0, description: 'A revision at which its keys are gone.' }),
  deleted: Type.Integer({
    minimum: 0,
    description:
      'How many keys went with the lease. Fewer when it has many, and the leader took a step that this request was late for.',
  }),
})
export type LeaseEndAnswer = Shape<typeof LeaseEndAnswer>

export const LockBody = object({
  ttlMs,
  waitMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: limits.lockWaitMsMax,
      description: 'How long to wait for the lock. Default: 0, not at all.',
    }),
  ),
  owner: Type.Optional(
    Type.String({
      format: 'owner',
      examples: ['worker-3'],
      description: `What others may read about the holder: up to ${limits.lock.ownerBytesMax} bytes of UTF-8.`,
    }),
  ),
})
export type LockBody = Shape<typeof LockBody>

const token = Type.Integer({
  minimum: 1,
  description: 'The fencing token: it grows from holder to holder. Hand it on with whatever the lock protects.',
})
const lease = leaseId('The lease that holds the lock. Keep it alive, or the lock passes on.')

export const LockAnswer = object({ token, lease })
export type LockAnswer = Shape<typeof LockAnswer>

const LockHolder = object({ lease, token, owner: Type.String({ description: 'What it says about itself.' }) })

const LockWaiter = object({
  lease: leaseId('The lease that keeps its place.'),
  owner: Type.String({ description: 'What it says about itself.' }),
})

const lockMembers = {
  name: Type.String(),
  holder: nullable(LockHolder, 'Null: nobody holds it.'),
  waiting: Type.Integer({ minimum: 0, description: 'How many wait for it.' }),
}

export const LockStatus = object({
  ...lockMembers,
  waiters: Type.Optional(
    Type.Array(LockWaiter, {
      maxItems: limits.lock.waitersShownMax,
      description: 'With `waiters=true`: the first of those who wait, in the order in which they get it.',
    }),
  ),
})
export type LockStatus = Shape<typeof LockStatus>

export const LocksAnswer = object({
  locks: Type.Array(object(lockMembers), { maxItems: limits.listItemsMax }),
  cursor: Type.Optional(Type.String({ description: 'Where the next page begins; absent on the last.' })),
})
export type LocksAnswer = Shape<typeof LocksAnswer>
