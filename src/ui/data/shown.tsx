import type { ComponentChildren } from 'preact'
import { cluster } from '../api/cluster.ts'
import { ProblemError, UnreachableError } from '../api/problem.ts'
import { timeOfDay } from '../lib/format.ts'
import { useStore } from '../lib/store.ts'
import { Button } from '../parts/button.tsx'
import { FailureNotice, Notice } from '../parts/notice.tsx'
import { readsOwn } from './read-terms.ts'
import type { Outdated, Read } from './use-reading.ts'

interface ShownProps<Value> {
  readonly read: Read<Value>
  readonly ofKeys?: boolean
  /** What to show when it is read. */
  readonly children: (value: Value) => ComponentChildren
}

/** What is read, or why it cannot be. */
export function Shown<Value>({ read: { reading, again }, ofKeys = false, children }: ShownProps<Value>) {
  if (reading.kind === 'reading') return <p class="faint">Reading …</p>
  if (reading.kind === 'failed') return <ReadFailure failure={reading.failure} onAgain={again} ofKeys={ofKeys} />
  return (
    <>
      {reading.since !== null && <OutdatedNotice {...reading.since} />}
      {children(reading.value)}
    </>
  )
}

/** Says that what is shown is as it was, and why. When the node answers nothing at all, the head of the page says so. */
function OutdatedNotice({ at, failure }: Outdated) {
  const isGone = useStore(cluster.seen).failingSince !== null
  const title = `As of ${timeOfDay(at)}`
  if (failure instanceof ProblemError) {
    return (
      <Notice tone="warn" title={title} code={failure.code}>
        <p>It could not be read since then: {failure.problem.detail}.</p>
      </Notice>
    )
  }
  if (!(failure instanceof UnreachableError) || isGone) return null
  return (
    <Notice tone="warn" title={title}>
      <p>It could not be read since then: {failure.message}.</p>
    </Notice>
  )
}

interface ReadFailureProps {
  readonly failure: unknown
  readonly onAgain: () => void
  /** It concerns keys, which a node can also read as it has them. */
  readonly ofKeys?: boolean
}

/** Why something could not be read, and what one can do about it. Without a leader, keys can still be read as this node has them. */
export function ReadFailure({ failure, onAgain, ofKeys = false }: ReadFailureProps) {
  const isOwn = useStore(readsOwn)
  const lacksLeader = failure instanceof ProblemError && ['no-leader', 'read-timeout'].includes(failure.code)
  const action = (
    <div class="tools">
      <Button small onClick={onAgain}>
        Try again
      </Button>
      {ofKeys && lacksLeader && !isOwn && (
        <Button
          small
          onClick={() => {
            readsOwn.set(true)
            onAgain()
          }}
        >
          Read what this node has
        </Button>
      )}
    </div>
  )
  if (failure instanceof UnreachableError) {
    return (
      <Notice tone="bad" title="No answer" action={action}>
        <p>It could not be read: {failure.message}.</p>
      </Notice>
    )
  }
  return <FailureNotice failure={failure} action={action} />
}

/** Says that what is seen may be old. */
export function OwnReadsNotice({ onChange }: { readonly onChange: () => void }) {
  if (!useStore(readsOwn)) return null
  const action = (
    <Button
      small
      onClick={() => {
        readsOwn.set(false)
        onChange()
      }}
    >
      Read from the cluster
    </Button>
  )
  return (
    <Notice tone="warn" title="Keys are shown as this node has them" action={action}>
      <p>They may be old: the leader is not asked. Changes still go through it.</p>
    </Notice>
  )
}
