import { useState } from 'preact/hooks'
import { bounds } from '../bounds.ts'
import { KeyText } from '../data/key-text.tsx'
import { leaseHref, lockHref } from '../data/places.ts'
import { Pager, usePaging } from '../data/paging.tsx'
import { Shown } from '../data/shown.tsx'
import { useKeptFocus } from '../data/use-kept-focus.ts'
import { useReading } from '../data/use-reading.ts'
import { duration } from '../lib/format.ts'
import { goTo, hrefOf, useRoute } from '../lib/route.ts'
import { Button } from '../parts/button.tsx'
import { Field } from '../parts/field.tsx'
import { Badge, Card, Page } from '../parts/page.tsx'
import { Table } from '../parts/table.tsx'
import { LeasePane } from './lease-pane.tsx'
import { listLeases, type ListedLease } from './leases-api.ts'

const uses: Readonly<Record<ListedLease['use'], string>> = {
  keys: 'keys',
  key: 'one key',
  lock: 'holds a lock',
  'lock-wait': 'waits for a lock',
}

/** All leases, a page at a time, and the one that is open. */
export function LeasesPage() {
  const { query } = useRoute()
  const open = leaseIn(query.get('lease'))
  useKeptFocus(open)
  return (
    <Page
      title="Leases"
      lead="A lease ends when nobody keeps it alive, and its keys go with it. A lock is held by a lease."
      tools={<OpenForm />}
    >
      {open !== null && <LeasePane key={open} id={open} />}
      <LeasesCard open={open} />
    </Page>
  )
}

/** Null: it is none, or one that no number of this page is exactly. */
function leaseIn(text: string | null): number | null {
  if (text === null || !/^[1-9]\d{0,15}$/.test(text)) return null
  return Number.isSafeInteger(Number(text)) ? Number(text) : null
}

function OpenForm() {
  const [text, setText] = useState('')
  const id = leaseIn(text.trim())
  const mistake =
    text.trim() === '' || id !== null ? null : `The id of a lease is a whole number up to ${Number.MAX_SAFE_INTEGER}.`
  return (
    <form
      class="open-form"
      onSubmit={(event) => {
        event.preventDefault()
        if (id !== null) goTo(leaseHref(id))
      }}
    >
      <Field label="Id of a lease" placeholder="Id of a lease" value={text} onInput={setText} mistake={mistake} mono />
      <Button type="submit" disabled={id === null}>
        Open
      </Button>
    </form>
  )
}

function LeasesCard({ open }: { readonly open: number | null }) {
  const paging = usePaging()
  const { cursor } = paging
  const read = useReading(
    `leases ${cursor}`,
    async (signal) => await listLeases({ limit: bounds.leasesPart, cursor }, signal),
    { everyMs: bounds.leasesPollMs },
  )
  return (
    <Card>
      <Shown read={read}>
        {({ leases, cursor: next }) => (
          <>
            <LeasesTable
              leases={leases}
              open={open}
              empty={cursor === null ? 'There are no leases.' : 'No more leases.'}
            />
            <Pager paging={paging} next={next} />
          </>
        )}
      </Shown>
    </Card>
  )
}

interface LeasesTableProps {
  readonly leases: readonly ListedLease[]
  readonly open: number | null
  readonly empty: string
}

function LeasesTable({ leases, open, empty }: LeasesTableProps) {
  return (
    <Table
      caption="Leases"
      columns={[
        { title: 'Lease', cell: ({ id }) => <LeaseLink id={id} open={open} /> },
        { title: 'For', cell: (lease) => <Use lease={lease} /> },
        { title: 'Length', cell: ({ ttlMs }) => duration(ttlMs), numeric: true },
      ]}
      rows={leases}
      rowKey={({ id }) => id}
      empty={empty}
    />
  )
}

function LeaseLink({ id, open }: { readonly id: number; readonly open: number | null }) {
  return (
    <a
      class="mono"
      href={id === open ? hrefOf('leases') : leaseHref(id)}
      aria-current={id === open ? 'true' : undefined}
    >
      {id}
    </a>
  )
}

function Use({ lease: { use, lock, ending } }: { readonly lease: ListedLease }) {
  return (
    <>
      {uses[use]}{' '}
      {lock !== undefined && (
        <a class="mono" href={lockHref(lock)}>
          <KeyText text={lock} />
        </a>
      )}{' '}
      {ending && <Badge tone="warn">ending</Badge>}
    </>
  )
}
