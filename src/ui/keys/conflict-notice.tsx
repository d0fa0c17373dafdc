import { useEffect, useRef } from 'preact/hooks'
import { Button } from '../parts/button.tsx'
import { Notice } from '../parts/notice.tsx'
import { DifferenceView } from '../values/difference-view.tsx'
import type { Value } from '../values/value-form.ts'
import type { Stored } from './keys-api.ts'

interface ConflictNoticeProps {
  /** What the key has by now; null: it is deleted. */
  readonly theirs: Stored | null
  /** What is in the field; null: it cannot be saved as it is. */
  readonly mine: Value | null
  /** The revision that the edit began with; null: the key was absent. */
  readonly began: number | null
  readonly isBusy: boolean
  readonly onMine: () => void
  readonly onTheirs: () => void
  readonly onEdit: () => void
}

/** Somebody else has changed a key that was being edited. Shows the other's value beside what is in the field, and lets one decide. */
export function ConflictNotice({ theirs, mine, began, isBusy, onMine, onTheirs, onEdit }: ConflictNoticeProps) {
  const what = theirs === null ? 'deleted it' : `changed it, to revision ${theirs.modRevision}`
  const element = useRef<HTMLDivElement>(null)
  useEffect(() => element.current?.scrollIntoView({ block: 'nearest' }), [])
  return (
    <div class="conflict" ref={element}>
      <Notice tone="warn" title="Not saved: somebody else was faster">
        <p>
          {began === null ? 'The key was absent' : `You began with revision ${began}`}; since then somebody has {what}.
          What you wrote is still in the field above, and can be changed there.
        </p>
      </Notice>
      {mine === null ? (
        <p class="empty">What is in the field cannot be saved as it is, so it is not compared.</p>
      ) : (
        <DifferenceView
          older={theirs?.value ?? null}
          newer={mine}
          olderName={theirs === null ? 'theirs' : `theirs, revision ${theirs.modRevision}`}
          newerName="yours"
        />
      )}
      <div class="buttons">
        <Button onClick={onTheirs}>{theirs === null ? 'Leave it deleted' : 'Take theirs'}</Button>
        <Button onClick={onEdit}>Edit on</Button>
        <Button kind="danger" busy={isBusy} onClick={onMine}>
          {theirs === null ? 'Write yours anew' : 'Replace theirs with yours'}
        </Button>
      </div>
    </div>
  )
}
