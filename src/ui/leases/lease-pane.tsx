import { useEffect, useState } from 'preact/hooks'
import { bounds } from '../bounds.ts'
import { KeyText } from '../data/key-text.tsx'
import { isBlindToSome, useSelf } from '../data/own-access.ts'
import { keysHref, lockHref } from '../data/places.ts'
import { Shown } from '../data/shown.tsx'
import { useAction } from '../data/use-action.ts'
import { useKeptFocus } from '../data/use-kept-focus.ts'
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
  // The buttons go with the lease.
  useKeptFocus(read.reading.kind === 'read' && read.reading.value.lease === null)
  const self = useSelf()
  const mayHideKeys = self !== null && isBlindToSome(self)
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
            <OpenLease
              lease={lease}
              at={at}
              mayHideKeys={mayHideKeys}
              onChanged={read.again}
              onMore={() => setLimit(bounds.leaseKeysMax)}
            />
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
  /** Keys that the token of this page may not read go with it unseen. */
  readonly mayHideKeys: boolean
  readonly onChanged: () => void
  readonly onMore: () => void
}

function OpenLease({ lease, at, mayHideKeys, onChanged, onMore }: OpenLeaseProps) {
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
          [mayHideKeys ? 'Keys that you may read' : 'Keys', `${keys.length}${cursor === undefined ? '' : ' and more'}`],
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
        mayHideKeys={mayHideKeys}
        hasMore={cursor !== undefined}
        onMore={keys.length < bounds.leaseKeysMax ? onMore : null}
      />
      {isAsking && (
        <RevokeDialog lease={lease} mayHideKeys={mayHideKeys} onDone={onChanged} onClose={() => ask(false)} />
      )}
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

interface LeaseKeysProps extends Pick<OpenLeaseProps, 'mayHideKeys'> {
  readonly keys: readonly string[]
  readonly hasMore: boolean
  /** Null: no more of them are shown. */
  readonly onMore: (() => void) | null
}

function LeaseKeys({ keys, mayHideKeys, hasMore, onMore }: LeaseKeysProps) {
  if (keys.length === 0)
    return <p class="empty">{mayHideKeys ? 'No key that you may read goes with it.' : 'No key goes with it.'}</p>
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
      {mayHideKeys && <p class="faint">Keys that you may not read are not shown.</p>}
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

interface RevokeDialogProps extends Pick<OpenLeaseProps, 'mayHideKeys'> {
  readonly lease: LeaseView
  readonly onDone: () => void
  readonly onClose: () => void
}

function RevokeDialog({ lease, mayHideKeys, onDone, onClose }: RevokeDialogProps) {
  const { id, use } = lease
  const effects = [`Lease ${id} ends now. ${keysGone(lease, mayHideKeys)}`]
  if (use === 'lock') effects.push('The lock that it holds passes on to the next who waits.')
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

/** Which keys are deleted with a lease, in a sentence or two. */
function keysGone({ keys, cursor }: LeaseView, mayHideKeys: boolean): string {
  const hidden = mayHideKeys ? ' So will those that you may not read, if there are any.' : ''
  const some = plural(keys.length, 'key')
  if (keys.length > 0) return `${cursor === undefined ? some : `More than ${some}`} will be deleted with it.${hidden}`
  return mayHideKeys ? 'Keys that you may not read will be deleted with it, if there are any.' : 'No key goes with it.'
}
