import { useEffect, useState } from 'preact/hooks'
import type { HistoryAnswer } from '../../client/api-types.ts'
import { bounds } from '../bounds.ts'
import { useAttempt } from '../data/attempt.ts'
import { quoted } from '../data/key-text.tsx'
import { ReadFailure, Shown } from '../data/shown.tsx'
import { useReading } from '../data/use-reading.ts'
import { bytes, count } from '../lib/format.ts'
import { Button } from '../parts/button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { say } from '../parts/messages.tsx'
import { FailureNotice } from '../parts/notice.tsx'
import { Badge } from '../parts/page.tsx'
import { DifferenceView } from '../values/difference-view.tsx'
import type { Value } from '../values/value-form.ts'
import { ValueView } from '../values/value-view.tsx'
import { listVersions, overtakenBy, readKey, writeKey, type Condition, type Stored } from './keys-api.ts'
import { lifetimeSentence, type Lifetime } from './lifetime.ts'

type Version = HistoryAnswer['items'][number]

/** The revisions of two versions that are compared; null: there is none. */
interface Pair {
  readonly older: number | null
  readonly newer: number | null
}

/** The version that is to come back, and what the key had when that was asked. */
interface Restored {
  readonly version: Version
  readonly stored: Stored | null
  readonly lifetime: Lifetime
}

interface HistoryViewProps {
  readonly name: string
  /** What the key has now; null: it is absent. */
  readonly stored: Stored | null
  readonly lifetime: Lifetime
  readonly onRestored: () => void
}

/** The versions of a key, two of them side by side, and the way back to an earlier one. */
export function HistoryView({ name, stored, lifetime, onRestored }: HistoryViewProps) {
  // Another change of the key adds a version.
  const versions = useVersions(name, stored?.modRevision ?? null)
  const [chosen, choose] = useState<Pair | null>(null)
  const [restored, restore] = useState<Restored | null>(null)
  const { items, failure } = versions
  const [first, second] = items
  const pair: Pair = chosen ?? { older: second?.modRevision ?? null, newer: first?.modRevision ?? null }
  if (items.length === 0) {
    if (failure !== null) return <ReadFailure failure={failure} onAgain={versions.again} ofKeys />
    return <p class="empty">{versions.isReading ? 'Reading …' : 'No version of this key can be read any more.'}</p>
  }
  return (
    <div class="history">
      <VersionsTable
        items={items}
        pair={pair}
        onChoose={choose}
        onRestore={(version) => restore({ version, stored, lifetime })}
      />
      <VersionsEnd versions={versions} />
      <PairView name={name} items={items} {...pair} />
      {restored !== null && (
        <RestoreDialog
          name={name}
          {...restored}
          present={stored}
          onDone={() => {
            choose(null)
            onRestored()
          }}
          onClose={() => restore(null)}
        />
      )}
    </div>
  )
}

interface Versions {
  readonly items: readonly Version[]
  readonly compactRevision: number
  readonly isReading: boolean
  readonly failure: unknown
  /** Reads the next page; null: there is none. */
  readonly more: (() => void) | null
  readonly again: () => void
}

/** Pages of versions, up to a maximum, from the newest on, and anew when there is another one. */
function useVersions(name: string, present: number | null): Versions {
  const [limit, setLimit] = useState<number>(bounds.versionsPart)
  const { reading, again } = useReading(`${name} ${present} ${limit}`, async (signal) => {
    return await listVersions(name, { limit, cursor: null }, signal)
  })
  const [last, keep] = useState<HistoryAnswer | null>(null)
  useEffect(() => {
    if (reading.kind === 'read') keep(reading.value)
  }, [reading])
  const shown = reading.kind === 'read' ? reading.value : last
  const canReadMore = shown?.cursor !== undefined && limit < bounds.versionsMax
  return {
    items: shown?.items ?? [],
    compactRevision: shown?.compactRevision ?? 0,
    isReading: reading.kind === 'reading',
    failure: reading.kind === 'failed' ? reading.failure : null,
    more: canReadMore ? () => setLimit(Math.min(limit * 2, bounds.versionsMax)) : null,
    again,
  }
}

function VersionsEnd({
  versions: { more, compactRevision, failure, isReading, items, again },
}: {
  readonly versions: Versions
}) {
  if (failure !== null) return <ReadFailure failure={failure} onAgain={again} ofKeys />
  if (more !== null) {
    return (
      <div class="buttons start">
        <Button small busy={isReading} onClick={more}>
          Show older ones
        </Button>
      </div>
    )
  }
  const reach =
    compactRevision === 0 ? 'The whole history is kept.' : `History reaches back to revision ${count(compactRevision)}.`
  return (
    <p class="hint">
      {items.length >= bounds.versionsMax ? 'Older versions are not shown. ' : ''}
      {reach}
    </p>
  )
}

interface VersionsTableProps {
  readonly items: readonly Version[]
  readonly pair: Pair
  readonly onChoose: (pair: Pair) => void
  readonly onRestore: (version: Version) => void
}

function VersionsTable({ items, pair, onChoose, onRestore }: VersionsTableProps) {
  const [first] = items
  const chooseInOrder = (a: number, b: number): void => onChoose({ older: Math.min(a, b), newer: Math.max(a, b) })
  return (
    <table class="versions">
      <caption class="unseen">Versions of the key, the newest first</caption>
      <thead>
        <tr>
          <th scope="col">From</th>
          <th scope="col">To</th>
          <th scope="col">Revision</th>
          <th scope="col">What</th>
          <th scope="col">
            <span class="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {items.map((version) => (
          <VersionRow
            key={version.modRevision}
            version={version}
            pair={pair}
            isPresent={version.modRevision === first?.modRevision}
            onOlder={() => chooseInOrder(version.modRevision, pair.newer ?? version.modRevision)}
            onNewer={() => chooseInOrder(pair.older ?? version.modRevision, version.modRevision)}
            onRestore={() => onRestore(version)}
          />
        ))}
      </tbody>
    </table>
  )
}

interface VersionRowProps {
  readonly version: Version
  readonly pair: Pair
  readonly isPresent: boolean
  readonly onOlder: () => void
  readonly onNewer: () => void
  readonly onRestore: () => void
}

function VersionRow({ version, pair, isPresent, onOlder, onNewer, onRestore }: VersionRowProps) {
  const { modRevision, deleted, lease = 0 } = version
  return (
    <tr>
      <SideCell side="older" label={`From revision ${modRevision}`} pair={pair} version={version} onChoose={onOlder} />
      <SideCell side="newer" label={`To revision ${modRevision}`} pair={pair} version={version} onChoose={onNewer} />
      <td class="number">{count(modRevision)}</td>
      <td>
        {deleted ? <Badge tone="bad">deleted</Badge> : <span>version {version.version}</span>}{' '}
        {isPresent && <Badge tone="accent">present</Badge>} {lease !== 0 && <Badge>with a lease</Badge>}
      </td>
      <td class="numeric">
        {!deleted && !isPresent && (
          <Button small label={`Restore revision ${modRevision}`} onClick={onRestore}>
            Restore
          </Button>
        )}
      </td>
    </tr>
  )
}

interface SideCellProps {
  readonly side: keyof Pair
  readonly label: string
  readonly pair: Pair
  readonly version: Version
  readonly onChoose: () => void
}

/** Chooses a version as one side of the pair. */
function SideCell({ side, label, pair, version: { modRevision }, onChoose }: SideCellProps) {
  return (
    <td>
      <input type="radio" name={side} aria-label={label} checked={pair[side] === modRevision} onChange={onChoose} />
    </td>
  )
}

interface PairViewProps extends Pair {
  readonly name: string
  readonly items: readonly Version[]
}

/** The difference of two versions, or the only one there is. */
function PairView({ name, items, older, newer }: PairViewProps) {
  const isDeleted = (revision: number): boolean =>
    items.find(({ modRevision }) => modRevision === revision)?.deleted === true
  const read = async (revision: number | null, signal: AbortSignal): Promise<Value | null> => {
    if (revision === null || isDeleted(revision)) return null
    return (await readKey(name, signal, { revision }))?.value ?? null
  }
  const both = useReading(`${name} ${older} ${newer}`, async (signal) => {
    const [before, after] = await Promise.all([read(older, signal), read(newer, signal)])
    return { before, after }
  })
  return (
    <Shown read={both} ofKeys>
      {({ before, after }) => {
        if (older === null || older === newer) return after === null ? null : <ValueView value={after} />
        const [olderName, newerName] = [`revision ${older}`, `revision ${newer ?? ''}`]
        return <DifferenceView older={before} newer={after} olderName={olderName} newerName={newerName} />
      }}
    </Shown>
  )
}

interface RestoreDialogProps extends Restored {
  readonly name: string
  /** What the key has by now. */
  readonly present: Stored | null
  readonly onDone: () => void
  readonly onClose: () => void
}

function RestoreDialog(props: RestoreDialogProps) {
  const { name, version, stored, lifetime, present, onDone, onClose } = props
  const { modRevision, lease = 0 } = version
  const attempt = useAttempt()
  const { reading } = useReading(
    `${name} ${modRevision}`,
    async (signal) => await readKey(name, signal, { revision: modRevision }),
  )
  const value = reading.kind === 'read' ? (reading.value?.value ?? null) : null
  const condition: Condition = stored === null ? 'absent' : { revision: stored.modRevision }
  const size = value === null ? '' : `, ${bytes(value.length)}`
  return (
    <Confirm
      title={`Restore ${quoted(name)}?`}
      effects={[
        `The key gets the value that it had at revision ${modRevision}${size}. That is a new version: nothing of its history is lost.`,
        lifetimeSentence(lifetime),
        condition === 'absent'
          ? 'Nothing is written if somebody else writes the key first.'
          : `Nothing is written if somebody changes the key first: it has to be at revision ${condition.revision}.`,
      ]}
      warnings={
        lease !== 0 && lifetime.kind === 'unlimited'
          ? [`The version went with lease ${lease}. Now it is written without a lease, and stays until it is deleted.`]
          : []
      }
      word={null}
      action="Restore"
      blocked={value === null}
      overtaken={overtakenBy(present, stored)}
      onConfirm={async () => {
        if (value === null) return
        const write = { key: name, value, condition, lifetime }
        const { revision } = await attempt.run(async (named) => await writeKey({ ...write, name: named }))
        say(`${quoted(name)} is restored, at revision ${revision}.`)
        onDone()
      }}
      onClose={onClose}
    >
      {reading.kind === 'failed' ? <FailureNotice failure={reading.failure} /> : undefined}
    </Confirm>
  )
}
