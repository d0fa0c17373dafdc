import { useState } from 'preact/hooks'
import { bounds } from '../bounds.ts'
import { KeyText, quoted } from '../data/key-text.tsx'
import { leaseHref, lockHref } from '../data/places.ts'
import { Shown } from '../data/shown.tsx'
import { useReading } from '../data/use-reading.ts'
import { count, plural } from '../lib/format.ts'
import { goTo, hrefOf, useRoute } from '../lib/route.ts'
import { Button } from '../parts/button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { Field } from '../parts/field.tsx'
import { say } from '../parts/messages.tsx'
import { Card, Facts, Page } from '../parts/page.tsx'
import { Table } from '../parts/table.tsx'
import { listLeases, readLock, releaseLock, type LockView } from './leases-api.ts'
import { locksOf, type ListedLease, type LockRow } from './lock-table.ts'

/** Who holds which lock, and who waits for it. */
export function LocksPage() {
  const { query } = useRoute()
  const open = query.get('lock')
  return (
    <Page
      title="Locks"
      lead="A lock has one holder at a time; those who wait get it in the order in which they came."
      tools={<OpenForm />}
    >
      <Locks open={open} />
    </Page>
  )
}

function OpenForm() {
  const [name, setName] = useState('')
  return (
    <form
      class="open-form"
      onSubmit={(event) => {
        event.preventDefault()
        if (name !== '') goTo(lockHref(name))
      }}
    >
      <Field label="Name of a lock" placeholder="Name of a lock" value={name} onInput={setName} mono />
      <Button type="submit" disabled={name === ''}>
        Open
      </Button>
    </form>
  )
}

interface Found {
  readonly rows: readonly LockRow[]
  /** How many leases were looked at; null: all of them. */
  readonly looked: number | null
}

/** No route lists locks: they are found by the leases that hold them. */
async function findLocks(signal: AbortSignal): Promise<Found> {
  const leases: ListedLease[] = []
  for (let cursor: string | null = null; leases.length < bounds.lockLeasesMax;) {
    const part = await listLeases({ limit: bounds.lockLeasesPart, cursor }, signal)
    leases.push(...part.leases)
    if (part.cursor === undefined) return { rows: locksOf(leases), looked: null }
    cursor = part.cursor
  }
  return { rows: locksOf(leases), looked: leases.length }
}

function Locks({ open }: { readonly open: string | null }) {
  const read = useReading('locks', findLocks, { everyMs: bounds.leasesPollMs })
  const { reading, again } = read
  const rows = reading.kind === 'read' ? reading.value.rows : []
  return (
    <>
      {open !== null && open !== '' && (
        <OpenLock key={open} name={open} row={rows.find(({ name }) => name === open) ?? null} onChanged={again} />
      )}
      <Card>
        <Shown read={read}>{(found) => <LocksTable found={found} open={open} />}</Shown>
      </Card>
    </>
  )
}

function LocksTable({ found: { rows, looked }, open }: { readonly found: Found; readonly open: string | null }) {
  const hidden = rows.length - bounds.locksShownMax
  return (
    <>
      <Table
        caption="Locks"
        columns={[
          { title: 'Lock', cell: ({ name }) => <LockLink name={name} open={open} /> },
          { title: 'Held by lease', cell: ({ holder }) => (holder === null ? 'nobody' : <LeaseLink id={holder.id} />) },
          { title: 'Waiting', cell: ({ waiters }) => count(waiters.length), numeric: true },
        ]}
        rows={rows.slice(0, bounds.locksShownMax)}
        rowKey={({ name }) => name}
        empty="No lock is held."
      />
      {hidden > 0 && <p class="faint">{count(hidden)} more locks are not shown: open them by name.</p>}
      {looked !== null && (
        <p class="faint">
          Only the first {count(looked)} leases were looked at: there may be more locks. Open them by name.
        </p>
      )}
    </>
  )
}

function LockLink({ name, open }: { readonly name: string; readonly open: string | null }) {
  return (
    <a class="mono" href={lockHref(name)} aria-current={name === open ? 'true' : undefined}>
      <KeyText text={name} />
    </a>
  )
}

function LeaseLink({ id }: { readonly id: number }) {
  return (
    <a class="mono" href={leaseHref(id)}>
      {id}
    </a>
  )
}

interface OpenLockProps {
  readonly name: string
  /** As the list of leases has it. */
  readonly row: LockRow | null
  readonly onChanged: () => void
}

function OpenLock({ name, row, onChanged }: OpenLockProps) {
  const read = useReading(`lock ${name}`, async (signal) => await readLock(name, signal), {
    everyMs: bounds.leasesPollMs,
  })
  const [asked, ask] = useState<LockView | null>(null)
  const close = (
    <a class="button small" href={hrefOf('locks')}>
      Close
    </a>
  )
  return (
    <Card title={`Lock ${quoted(name)}`} tools={close}>
      <Shown read={read}>{(lock) => <LockFacts lock={lock} row={row} onRelease={() => ask(lock)} />}</Shown>
      {asked !== null && asked.holder !== null && (
        <ReleaseDialog
          lock={asked}
          lease={asked.holder.lease}
          onDone={() => {
            read.again()
            onChanged()
          }}
          onClose={() => ask(null)}
        />
      )}
    </Card>
  )
}

interface LockFactsProps {
  readonly lock: LockView
  readonly row: LockRow | null
  readonly onRelease: () => void
}

function LockFacts({ lock: { holder, waiting }, row, onRelease }: LockFactsProps) {
  if (holder === null) return <p class="empty">Nobody holds it.</p>
  const waiters = row?.waiters ?? []
  return (
    <>
      <Facts
        facts={[
          ['Owner', holder.owner === '' ? <span class="faint">does not say</span> : <KeyText text={holder.owner} />],
          ['Lease', <LeaseLink id={holder.lease} />],
          ['Token', count(holder.token)],
          ['Waiting', count(waiting)],
        ]}
      />
      {waiters.length > 0 && (
        <>
          <h3>Those who wait, in their order</h3>
          <ol class="lease-keys">
            {waiters.slice(0, bounds.locksShownMax).map(({ id }) => (
              <li key={id}>
                lease <LeaseLink id={id} />
              </li>
            ))}
          </ol>
        </>
      )}
      <div class="tools">
        <Button onClick={onRelease}>Release</Button>
      </div>
    </>
  )
}

interface ReleaseDialogProps {
  readonly lock: LockView
  readonly lease: number
  readonly onDone: () => void
  readonly onClose: () => void
}

function ReleaseDialog({ lock: { name, holder, waiting }, lease, onDone, onClose }: ReleaseDialogProps) {
  const owner = holder?.owner ?? ''
  const next =
    waiting === 0
      ? 'Nobody waits for it.'
      : `The next of ${plural(waiting, 'request')} that ${waiting === 1 ? 'waits' : 'wait'} gets it in the same change.`
  return (
    <Confirm
      title={`Release ${quoted(name)}?`}
      effects={[
        `Lease ${lease}${owner === '' ? '' : `, of ${quoted(owner)},`} ends now, and its keys go with it.`,
        next,
        'Nothing happens if another lease holds the lock by then.',
      ]}
      warnings={['The holder is not asked. It may still believe that it holds the lock, and act on it.']}
      word={String(lease)}
      wordName="the id of the lease"
      action="Release"
      danger
      onConfirm={async () => {
        await releaseLock(name, lease)
        say(`${quoted(name)} is released.`)
        onDone()
      }}
      onClose={onClose}
    />
  )
}
