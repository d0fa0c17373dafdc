import type { RefObject } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { ProblemError } from '../api/problem.ts'
import { bounds } from '../bounds.ts'
import { Button } from '../parts/button.tsx'
import { FailureNotice, Notice } from '../parts/notice.tsx'
import { ValueField, type ValueFieldHandle } from '../values/value-field.tsx'
import type { Value } from '../values/value-form.ts'
import { ConflictNotice } from './conflict-notice.tsx'
import { drafts, isSame, type KeptDraft } from './drafts.ts'
import { LifetimeCheck } from './lifetime-check.tsx'
import type { Lifetime } from './lifetime.ts'
import type { Present } from './present.ts'
import { useSaving, type Edited } from './use-saving.ts'

/** `text`: what is in the field, when it was edited before. */
export type Edit = Omit<KeptDraft, 'text'> & { readonly text?: string }

interface KeyEditorProps {
  readonly edit: Edit
  /** What the key has by now. */
  readonly present: Present
  /** Something was saved. */
  readonly onWritten: () => void
  /** All of it is saved, or it was given up. */
  readonly onClose: () => void
}

/** Edits the value of a key. */
export function KeyEditor({ edit, present, onWritten, onClose }: KeyEditorProps) {
  const { key, draft, text } = edit
  const field = useRef<ValueFieldHandle>(null)
  const [isKept, keepLifetime] = useState(true)
  const saving = useSaving(edit, (edited, isThere) => {
    onWritten()
    const { current } = field
    if (isThere && current !== null && isSame({ draft: current.draft(), text: current.text() }, edited)) onClose()
  })
  const { theirs, condition, failure, isBusy } = saving
  const mine = useMine(field, theirs)
  const began = condition === 'absent' ? null : condition.revision
  const lifetime = useLastLifetime(edit.lifetime, theirs ?? present)
  const wanted: Lifetime = isKept ? lifetime : { kind: 'unlimited' }
  // Before the field goes away.
  useLayoutEffect(() => () => drafts.edits.settle(key), [])

  const changed = (): void => {
    saving.changed()
    mine.look()
    drafts.edits.keepSoon(key, () => {
      const { current } = field
      return { key, condition, lifetime, draft: current?.draft() ?? draft, text: current?.text() ?? text ?? '' }
    })
  }
  const withEdited = (act: (edited: Edited, lifetime: Lifetime) => void): void => {
    const edited = field.current === null ? null : editedIn(field.current)
    if (edited !== null) act(edited, wanted)
  }
  const keep = (isWanted: boolean): void => {
    keepLifetime(isWanted)
    saving.changed()
  }
  const submit = (event: Event): void => {
    event.preventDefault()
    withEdited(saving.save)
  }
  const giveUp = (): void => {
    drafts.edits.drop(key)
    onWritten()
    onClose()
  }
  return (
    <form class="editor" onSubmit={submit} onKeyDown={(event) => isSaveKey(event) && submit(event)}>
      <ValueField
        label="Value"
        draft={draft}
        {...(text === undefined ? {} : { text })}
        handle={field}
        onChange={changed}
        autoFocus
      />
      <LifetimeCheck lifetime={lifetime} isKept={isKept} onChange={keep} />
      {theirs === null && <Overtaken began={began} present={present.stored?.modRevision ?? null} />}
      {theirs !== null && (
        <ConflictNotice
          theirs={theirs.stored}
          mine={mine.value}
          began={began}
          isBusy={isBusy}
          onMine={() => withEdited(saving.insist)}
          onTheirs={giveUp}
          onEdit={saving.editOn}
        />
      )}
      {failure !== null && <Failure failure={failure} lifetime={wanted} />}
      {theirs === null && <SaveButtons isBusy={isBusy} onCancel={giveUp} />}
    </form>
  )
}

/** Null: it cannot be saved, which the field says. */
function editedIn(field: ValueFieldHandle): Edited | null {
  const outcome = field.read()
  return outcome.kind === 'value' ? { value: outcome.value, draft: field.draft(), text: field.text() } : null
}

function isSaveKey({ key, ctrlKey, metaKey }: KeyboardEvent): boolean {
  return key === 's' && (ctrlKey || metaKey)
}

function SaveButtons({ isBusy, onCancel }: { readonly isBusy: boolean; readonly onCancel: () => void }) {
  return (
    <div class="buttons">
      <span class="hint grow">Ctrl+S saves.</span>
      <Button onClick={onCancel}>Cancel</Button>
      <Button type="submit" kind="primary" busy={isBusy}>
        Save
      </Button>
    </div>
  )
}

/** The lifetime of the key; when the key is gone, the one that it had last. */
function useLastLifetime(first: Lifetime, { stored, lifetime }: Present): Lifetime {
  const last = useRef(first)
  if (stored !== null) last.current = lifetime
  return last.current
}

interface Mine {
  /** Null: the field has nothing that can be saved. */
  readonly value: Value | null
  /** Looks again, when nothing was typed for a moment. */
  readonly look: () => void
}

/** The value of the field while it is compared with that of somebody else. */
function useMine(field: RefObject<ValueFieldHandle | null>, theirs: Present | null): Mine {
  const [value, setValue] = useState<Value | null>(null)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const lookNow = (): void => {
    const outcome = field.current?.peek()
    setValue(outcome?.kind === 'value' ? outcome.value : null)
  }
  useLayoutEffect(() => {
    if (theirs !== null) lookNow()
    return () => clearTimeout(timer.current)
  }, [theirs])
  const look = (): void => {
    if (theirs === null) return
    clearTimeout(timer.current)
    timer.current = setTimeout(lookNow, bounds.typingMs)
  }
  return { value, look }
}

function Failure({ failure, lifetime }: { readonly failure: unknown; readonly lifetime: Lifetime }) {
  const isLeaseGone = failure instanceof ProblemError && failure.code === 'lease-not-found'
  if (!isLeaseGone || lifetime.kind !== 'lease') return <FailureNotice failure={failure} />
  return (
    <Notice tone="bad" title={`Lease ${lifetime.lease} has ended`} code={failure.code}>
      <p>Nothing was written: the key cannot go with it any more. Clear the box above to write it without a lease.</p>
    </Notice>
  )
}

/** Says while one is still editing that somebody else has changed the key. */
function Overtaken({ began, present }: { readonly began: number | null; readonly present: number | null }) {
  // A reading from before one's own save is older.
  if (present === began || (present !== null && began !== null && present < began)) return null
  const title = present === null ? 'It was deleted meanwhile' : `It is at revision ${present} by now`
  return (
    <Notice tone="warn" title={title}>
      <p>
        {began === null ? 'It was absent before.' : `You began with revision ${began}.`} Nothing of the other change is
        lost: when you save, you are asked.
      </p>
    </Notice>
  )
}
