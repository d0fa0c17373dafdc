import { revisionOfLockLease, rowFromBytes, type Command } from '../../../src/kv/index.ts'
import type { Node } from '../../../src/node/node.ts'
import type { StateInstall, StateRange, StateView, StateWrite } from '../../../src/ports/state-store.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'
import { StateDelegate, ViewDelegate } from './delegates.ts'
import { RewritesProposals } from './rewrites-proposals.ts'

const ATTACHMENTS = '\x21'
const LOCK_WAITERS = '\x31'

function isAttachment(key: Uint8Array): boolean {
  return rowFromBytes(key).startsWith(ATTACHMENTS)
}

/** The leader gives a lease half of its length. */
function halvesLengths({ replica }: Node): void {
  const { lessor } = replica
  const onEvents = lessor.onEvents.bind(lessor)
  lessor.onEvents = (events) =>
    onEvents(events.map((event) => (event.type === 'started' ? { ...event, lengthMs: event.lengthMs / 2 } : event)))
}

/** The leader does not hear of renewals. */
function hearsNoRenewals({ replica }: Node): void {
  const { lessor } = replica
  const onEvents = lessor.onEvents.bind(lessor)
  const known = new Set<number>()
  lessor.onEvents = (events) => {
    onEvents(events.filter(({ type, lease }) => type !== 'started' || !known.has(lease)))
    for (const { type, lease } of events) if (type === 'started') known.add(lease)
  }
}

/** The end of a lease does not ask whether it was renewed meanwhile. */
class EndsWhatWasRenewed extends RewritesProposals {
  protected override rewrite(command: Command): Command {
    return command.type === 'lease-revoke' ? { ...command, ifRenewedAt: null } : command
  }
}

/** A key is put without the lease that it should have. */
class ForgetsLeases extends RewritesProposals {
  protected override rewrite(command: Command): Command {
    if (command.type !== 'put' || command.lease === undefined) return command
    const { lease: _, ...rest } = command
    return rest
  }
}

/** Which keys belong to a lease is not stored. */
class LosesAttachments extends StateDelegate {
  override write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    return this.inner.write(
      writes.filter(({ key }) => !isAttachment(key)),
      meta,
    )
  }
}

/** A state that is sent arrives without saying which keys belong to a lease. */
class InstallsWithoutAttachments extends StateDelegate {
  override async beginInstall(): Promise<StateInstall> {
    const install = await this.inner.beginInstall()
    return {
      write: (rows) => install.write(rows.filter(({ key }) => !isAttachment(key))),
      commit: (meta) => install.commit(meta),
      abort: () => install.abort(),
    }
  }
}

/** Whoever came last for a lock is found first. */
class FindsLastWaiter extends StateDelegate {
  override async view(): Promise<StateView> {
    return new LastWaiterFirst(await this.inner.view())
  }
}

class LastWaiterFirst extends ViewDelegate {
  override keys(range: StateRange): Promise<readonly Uint8Array[]> {
    const isQueue = range.start !== null && rowFromBytes(range.start).startsWith(LOCK_WAITERS)
    return super.keys(isQueue ? { ...range, reverse: true } : range)
  }
}

/** Who has waited in vain is told that it has the lock. */
function callsAllAcquired({ replica }: Node): void {
  const { lockWaits } = replica
  const wait = lockWaits.wait.bind(lockWaits)
  lockWaits.wait = async (lease, deadline, caller) => {
    const outcome = await wait(lease, deadline, caller)
    const token = revisionOfLockLease(lease)
    return outcome.kind === 'timed-out' ? { kind: 'acquired', token } : outcome
  }
}

/** Nobody notices that a client has left while it waits. */
function keepsWhoLeft({ replica }: Node): void {
  const { lockWaits } = replica
  const wait = lockWaits.wait.bind(lockWaits)
  lockWaits.wait = (lease, deadline) => wait(lease, deadline, null)
}

export const leaseBugs: readonly PlantedBug[] = [
  {
    name: 'lease-ends-early',
    says: 'the leader gives a lease half of its length',
    seedsMax: 50,
    needsLevel: 1,
    plant: halvesLengths,
  },
  {
    name: 'lease-renewal-loses',
    says: 'a renewal does not keep a lease whose end is proposed',
    seedsMax: 100,
    needsLevel: 1,
    raft: EndsWhatWasRenewed,
    plant: hearsNoRenewals,
  },
  {
    name: 'lease-renewal-not-heard',
    says: 'the leader finds that a lease was renewed, and never looks at it again',
    seedsMax: 200,
    needsLevel: 1,
    plant: hearsNoRenewals,
  },
  {
    name: 'lessor-asleep',
    says: 'no leader ends leases',
    seedsMax: 50,
    needsLevel: 1,
    plant: ({ replica }) => replica.lessor.stop(),
  },
  {
    name: 'lessor-begins-with-none',
    says: 'an elected leader does not know the leases that are there',
    seedsMax: 200,
    needsLevel: 1,
    plant: ({ replica }) => Object.defineProperty(replica.applier, 'leaseCount', { get: () => 0 }),
  },
  {
    name: 'lease-forgotten-by-puts',
    says: 'a key is put without the lease that it should have',
    seedsMax: 50,
    needsLevel: 1,
    raft: ForgetsLeases,
  },
  {
    name: 'attachments-not-stored',
    says: 'which keys belong to a lease is kept in memory only',
    seedsMax: 50,
    needsLevel: 1,
    wrapState: (state) => new LosesAttachments(state),
  },
  {
    name: 'snapshot-without-attachments',
    says: 'a state that is sent arrives without saying which keys belong to a lease',
    seedsMax: 300,
    needsLevel: 1,
    wrapState: (state) => new InstallsWithoutAttachments(state),
  },
  {
    name: 'lock-to-the-last',
    says: 'a lock goes to whoever has waited for the shortest time',
    seedsMax: 200,
    needsLevel: 1,
    wrapState: (state) => new FindsLastWaiter(state),
  },
  {
    name: 'lock-for-everybody',
    says: 'who has waited for a lock in vain is told that it has it',
    seedsMax: 50,
    needsLevel: 1,
    plant: callsAllAcquired,
  },
  {
    name: 'lock-comes-late',
    says: 'who waits for a lock is told that it has it when the wait is over',
    seedsMax: 300,
    needsLevel: 1,
    plant: ({ replica }) => {
      replica.lockWaits.onEvents = () => undefined
    },
  },
  {
    name: 'lock-waits-for-nobody',
    says: 'who has left while it waited for a lock stays in the queue',
    seedsMax: 1000,
    needsLevel: 1,
    plant: keepsWhoLeft,
  },
]
