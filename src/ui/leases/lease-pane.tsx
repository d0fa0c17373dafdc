import { useEffect, useState } from 'preact/hooks'
import { bounds } from '../bounds.ts'
import { KeyText } from '../data/key-text.tsx'
import { keysHref, lockHref } from '../data/places.ts'
import { Shown } from '../data/shown.tsx'
import { useAction } from '../data/use-action.ts'
import { useReading } from '../data/use-reading.ts'
import { duration, plural } from '../lib/format.ts'
import { hrefOf } from '../lib/route.ts'
import { Button } from '../parts/button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { say } from '../parts/messages.tsx'
import { FailureNotice, Notice } from '../parts/notice.tsx'
import { Badge, Card, Facts } from '../parts/page.tsx'
import { readLease, renewLease, revokeLease, type LeaseView } from './leases-api.ts'

interface SeenLease {
  readonly lease: LeaseView | null
  readonly at: number
}

/** A lease that is open: how long it lasts, and which keys go with it. */
export function LeasePane({ id }: { readonly id: number }) {
  const [limit, setLimit] = useState<number>(bounds.leaseKeysPart)
  const read = useReading<SeenLease>(
    `lease ${id} ${limit}`,
    async (signal) => ({ lease: await readLease(id, { limit, cursor: null }, signal), at: Date.now() }),
    { everyMs: bounds.leasesPollMs },
  )
  const close = (
    <a class="button small" href={hrefOf('leases')}>
      Close
    </a>
  )
  return (
    <Card title={`Lease ${id}`} tools={close}>
      <Shown read={read}>
        {({ lease, at }) =>
          lease === null ? (
            <Notice tone="info" title="There is no such lease">
              <p>It has ended, and its keys are gone, or it never was.</p>
            </Notice>
          ) : (
            <OpenLease lease={lease} at={at} onChanged={read.again} onMore={() => setLimit(bounds.leaseKeysMax)} />
          )
        }
      </Shown>
    </Card>
  )
}

interface OpenLeaseProps {
  readonly lease: LeaseView
  /** When it was read. */
  readonly at: number
  readonly onChanged: () => void
  readonly onMore: () => void
}

function OpenLease({ lease, at, onChanged, onMore }: OpenLeaseProps) {
  const { id, ttlMs, use, lock, ending, keys, cursor } = lease
  const [isAsking, ask] = useState(false)
  const { isBusy, failure, run } = useAction(`Keeping lease ${id} alive`)
  const left = useRemaining(lease, at)
  const renew = async (): Promise<void> => {
    const { remainingMs } = await renewLease(id)
    say(`Lease ${id} lasts for another ${duration(remainingMs)}.`)
    onChanged()
  }
  return (
    <>
      <Facts
        facts={[
          ['Remaining', ending ? <Badge tone="warn">ending</Badge> : duration(left)],
          ['Length', duration(ttlMs)],
          ['Keys', `${keys.length}${cursor === undefined ? '' : ' and more'}`],
          ...(lock === undefined
            ? []
            : [[use === 'lock' ? 'Holds the lock' : 'Waits for the lock', <LockLink lock={lock} />] as const]),
        ]}
      />
      <progress max={ttlMs} value={Math.min(left, ttlMs)} aria-label="Remaining time" />
      <div class="tools">
        {use !== 'lock-wait' && (
          <Button busy={isBusy} disabled={ending} onClick={() => run(renew)}>
            Keep alive
          </Button>
        )}
        <Button onClick={() => ask(true)}>Revoke</Button>
      </div>
      {failure !== null && <FailureNotice failure={failure} />}
      <LeaseKeys
        keys={keys}
        hasMore={cursor !== undefined}
        onMore={keys.length < bounds.leaseKeysMax ? onMore : null}
      />
      {isAsking && <RevokeDialog lease={lease} onDone={onChanged} onClose={() => ask(false)} />}
    </>
  )
}

function LockLink({ lock }: { readonly lock: string }) {
  return (
    <a class="mono" href={lockHref(lock)}>
      <KeyText text={lock} />
    </a>
  )
}

interface LeaseKeysProps {
  readonly keys: readonly string[]
  readonly hasMore: boolean
  /** Null: no more of them are shown. */
  readonly onMore: (() => void) | null
}

function LeaseKeys({ keys, hasMore, onMore }: LeaseKeysProps) {
  if (keys.length === 0) return <p class="empty">No key goes with it.</p>
  return (
    <>
      <h3>Keys that go with it</h3>
      <ul class="lease-keys mono">
        {keys.map((key) => (
          <li key={key}>
            <a href={keysHref({ key })}>
              <KeyText text={key} />
            </a>
          </li>
        ))}
      </ul>
      {hasMore && (
        <div class="buttons start">
          {onMore === null ? (
            <span class="faint">There are more; they are not shown.</span>
          ) : (
            <Button small onClick={onMore}>
              Show more
            </Button>
          )}
        </div>
      )}
    </>
  )
}

/** What is left of a lease, counted on from what the leader said. */
function useRemaining({ remainingMs }: LeaseView, at: number): number {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000)
    return () => clearInterval(timer)
  }, [])
  const left = Math.max(0, remainingMs - Math.max(0, now - at))
  return left > 10_000 ? Math.round(left / 1000) * 1000 : left
}

interface RevokeDialogProps {
  readonly lease: LeaseView
  readonly onDone: () => void
  readonly onClose: () => void
}

function RevokeDialog({ lease: { id, keys, cursor, use, lock }, onDone, onClose }: RevokeDialogProps) {
  const gone = cursor === undefined ? plural(keys.length, 'key') : `More than ${plural(keys.length, 'key')}`
  const effects = [
    `Lease ${id} ends now. ${keys.length === 0 ? 'No key goes with it.' : `${gone} will be deleted with it.`}`,
  ]
  if (use === 'lock' && lock !== undefined) effects.push('The lock that it holds passes on to the next who waits.')
  if (use === 'lock-wait') effects.push('Whoever waits for the lock with it loses the place in the queue.')
  return (
    <Confirm
      title={`Revoke lease ${id}?`}
      effects={effects}
      warnings={use === 'lock' ? ['The holder may still believe that it holds the lock, and act on it.'] : []}
      word={String(id)}
      wordName="the id of the lease"
      action="Revoke"
      danger
      onConfirm={async () => {
        const { deleted } = await revokeLease(id)
        say(`Lease ${id} is revoked, and ${plural(deleted, 'key')} with it.`)
        onDone()
      }}
      onClose={onClose}
    />
  )
}
