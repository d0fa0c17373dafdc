import { useEffect, useState } from 'preact/hooks'
import type { GrantView } from '../../client/api-types.ts'
import { bounds } from '../bounds.ts'
import { KeyText, quoted } from '../data/key-text.tsx'
import { Pager, usePaging } from '../data/paging.tsx'
import { leaseHref, locksHref } from '../data/places.ts'
import { Readable } from '../data/readable.tsx'
import { Shown } from '../data/shown.tsx'
import { useKeptFocus } from '../data/use-kept-focus.ts'
import { useReading } from '../data/use-reading.ts'
import { count, plural } from '../lib/format.ts'
import { goTo, useRoute } from '../lib/route.ts'
import { Button } from '../parts/button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { Field } from '../parts/field.tsx'
import { say } from '../parts/messages.tsx'
import { Card, Facts, Page } from '../parts/page.tsx'
import { Table } from '../parts/table.tsx'
import { listLocks, readLock, releaseLock, type LockQueue, type LockView } from './leases-api.ts'

/** Who holds which lock, and who waits for it. */
export function LocksPage() {
  const { query } = useRoute()
  const [open, prefix] = [query.get('lock') ?? '', query.get('prefix') ?? '']
  return (
    <Page
      title="Locks"
      lead="A lock has one holder at a time; those who wait get it in the order in which they came."
      tools={<OpenForm prefix={prefix} />}
    >
      <Locks prefix={prefix} open={open} />
    </Page>
  )
}

function OpenForm({ prefix }: { readonly prefix: string }) {
  const [name, setName] = useState('')
  return (
    <form
      class="open-form"
      onSubmit={(event) => {
        event.preventDefault()
        if (name !== '') goTo(locksHref({ lock: name, prefix }))
      }}
    >
      <Field label="Name of a lock" placeholder="Name of a lock" value={name} onInput={setName} mono />
      <Button type="submit" disabled={name === ''}>
        Open
      </Button>
    </form>
  )
}

interface LocksProps {
  /** Only locks whose names begin with it. */
  readonly prefix: string
  /** The name of the lock that is open; empty: none. */
  readonly open: string
}

/** The lock that is open, and a page of all. */
function Locks({ prefix, open }: LocksProps) {
  const paging = usePaging(prefix)
  const { cursor } = paging
  const read = useReading(
    `locks ${prefix} ${cursor}`,
    async (signal) => await listLocks(prefix, { limit: bounds.locksPart, cursor }, signal),
    { everyMs: bounds.leasesPollMs },
  )
  useKeptFocus(open)
  const none = prefix === '' ? 'No lock is held.' : `No lock is held whose name begins with ${quoted(prefix)}.`
  return (
    <>
      {open !== '' && <OpenLock key={open} name={open} prefix={prefix} onChanged={read.again} />}
      <Card title="Held" tools={<PrefixForm prefix={prefix} open={open} />}>
        <Shown read={read}>
          {({ locks, cursor: next }) => (
            <>
              <LocksTable locks={locks} open={open} prefix={prefix} empty={cursor === null ? none : 'No more locks.'} />
              <Pager paging={paging} next={next} />
            </>
          )}
        </Shown>
        {read.reading.kind === 'failed' && <Readable failure={read.reading.failure} hrefFor={locksIn} />}
      </Card>
    </>
  )
}

/** Where the locks are shown whose names a token may read; null: they are those of a range. */
function locksIn({ key, prefix }: GrantView): string | null {
  if (key !== undefined) return locksHref({ lock: key })
  return prefix === undefined ? null : locksHref({ prefix })
}

/** Which locks are listed. A token may be allowed to see some of them only. */
function PrefixForm({ prefix, open }: LocksProps) {
  const [text, setText] = useState(prefix)
  // The address may be changed from elsewhere.
  useEffect(() => setText(prefix), [prefix])
  const lock = open === '' ? {} : { lock: open }
  return (
    <form
      class="open-form"
      onSubmit={(event) => {
        event.preventDefault()
        goTo(locksHref({ prefix: text, ...lock }))
      }}
    >
      <Field label="Names begin with" placeholder="Names begin with" value={text} onInput={setText} mono />
      <Button type="submit" disabled={text === prefix}>
        List
      </Button>
    </form>
  )
}

interface LocksTableProps extends LocksProps {
  readonly locks: readonly LockView[]
  readonly empty: string
}

function LocksTable({ locks, open, prefix, empty }: LocksTableProps) {
  return (
    <Table
      caption="Locks"
      columns={[
        {
          title: 'Lock',
          cell: ({ name }) => (
            <a class="mono" href={locksHref({ lock: name, prefix })} aria-current={name === open ? 'true' : undefined}>
              <KeyText text={name} />
            </a>
          ),
        },
        { title: 'Owner', cell: ({ holder }) => <Owner owner={holder?.owner ?? ''} /> },
        { title: 'Lease', cell: ({ holder }) => (holder === null ? 'none' : <LeaseLink id={holder.lease} />) },
        { title: 'Token', cell: ({ holder }) => (holder === null ? '' : count(holder.token)), numeric: true },
        { title: 'Waiting', cell: ({ waiting }) => count(waiting), numeric: true },
      ]}
      rows={locks}
      rowKey={({ name }) => name}
      empty={empty}
    />
  )
}

function Owner({ owner }: { readonly owner: string }) {
  return owner === '' ? <span class="faint">does not say</span> : <KeyText text={owner} />
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
  /** Of the names in the list behind it. */
  readonly prefix: string
  readonly onChanged: () => void
}

function OpenLock({ name, prefix, onChanged }: OpenLockProps) {
  const read = useReading(`lock ${name}`, async (signal) => await readLock(name, signal), {
    everyMs: bounds.leasesPollMs,
  })
  const [asked, ask] = useState<LockView | null>(null)
  const close = (
    <a class="button small" href={locksHref({ prefix })}>
      Close
    </a>
  )
  return (
    <Card title={`Lock ${quoted(name)}`} tools={close}>
      <Shown read={read}>{(lock) => <LockFacts lock={lock} onRelease={() => ask(lock)} />}</Shown>
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

function LockFacts({ lock, onRelease }: { readonly lock: LockQueue; readonly onRelease: () => void }) {
  const { holder, waiting, waiters } = lock
  if (holder === null) return <p class="empty">Nobody holds it.</p>
  return (
    <>
      <Facts
        facts={[
          ['Owner', <Owner owner={holder.owner} />],
          ['Lease', <LeaseLink id={holder.lease} />],
          ['Token', count(holder.token)],
          ['Waiting', count(waiting)],
        ]}
      />
      {waiters.length > 0 && (
        <>
          <h3>Those who wait, in their order</h3>
          <ol class="lease-keys">
            {waiters.map(({ lease, owner }) => (
              <li key={lease}>
                <Owner owner={owner} />, lease <LeaseLink id={lease} />
              </li>
            ))}
          </ol>
          {waiting > waiters.length && <p class="faint">{count(waiting - waiters.length)} more are not shown.</p>}
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
