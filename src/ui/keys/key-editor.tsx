import { useRef, useState } from 'preact/hooks'
import { Button } from '../parts/button.tsx'
import { Check } from '../parts/field.tsx'
import { FailureNotice, Notice } from '../parts/notice.tsx'
import { ValueField, type ValueFieldHandle } from '../values/value-field.tsx'
import type { Draft } from '../values/value-form.ts'
import { ConflictNotice } from './conflict-notice.tsx'
import { drafts } from './drafts.ts'
import type { Stored } from './keys-api.ts'
import type { Lifetime } from './lifetime.ts'
import { useSaving } from './use-saving.ts'

interface KeyEditorProps {
  /** What the edit begins with. */
  readonly base: Stored
  readonly draft: Draft
  /** What is in the field, when it was edited before. */
  readonly text?: string
  /** The revision that the key has by now; null: it is deleted. */
  readonly present: number | null
  readonly lifetime: Lifetime
  /** Saved, or given up. */
  readonly onDone: () => void
}

/** Edits the value of a key. */
export function KeyEditor({ base, draft, text, present, lifetime, onDone }: KeyEditorProps) {
  const field = useRef<ValueFieldHandle>(null)
  const [isKept, keepLifetime] = useState(true)
  const saving = useSaving(base, onDone)
  const { conflict, condition, failure, isBusy } = saving
  const began = condition === 'absent' ? null : condition.revision
  const wanted: Lifetime = isKept ? lifetime : { kind: 'unlimited' }

  const changed = (): void => {
    const { current } = field
    if (current !== null) drafts.keep({ base, draft: current.draft(), text: current.text() })
    saving.changed()
  }
  const submit = (event: Event): void => {
    event.preventDefault()
    const outcome = field.current?.read()
    if (outcome?.kind === 'value') saving.save(outcome.value, wanted)
  }
  const giveUp = (): void => {
    drafts.drop(base.key)
    onDone()
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 's' && (event.ctrlKey || event.metaKey)) submit(event)
  }
  return (
    <form class="editor" onSubmit={submit} onKeyDown={onKeyDown}>
      <ValueField
        label="Value"
        draft={draft}
        {...(text === undefined ? {} : { text })}
        handle={field}
        onChange={changed}
        autoFocus
      />
      <LifetimeCheck
        lifetime={lifetime}
        isKept={isKept}
        onChange={(kept) => {
          keepLifetime(kept)
          saving.changed()
        }}
      />
      {conflict === null && present !== began && <Overtaken began={began} present={present} />}
      {conflict !== null && (
        <ConflictNotice
          conflict={conflict}
          began={began}
          isBusy={isBusy}
          onMine={() => saving.insist(wanted)}
          onTheirs={giveUp}
          onEdit={saving.editOn}
        />
      )}
      {failure !== null && <FailureNotice failure={failure} />}
      {conflict === null && (
        <div class="buttons">
          <span class="hint grow">Ctrl+S saves.</span>
          <Button onClick={giveUp}>Cancel</Button>
          <Button type="submit" kind="primary" busy={isBusy}>
            Save
          </Button>
        </div>
      )}
    </form>
  )
}

interface LifetimeCheckProps {
  /** The lifetime that the key has. */
  readonly lifetime: Lifetime
  readonly isKept: boolean
  readonly onChange: (isKept: boolean) => void
}

/** A write that says nothing of a lease would set the key free. */
function LifetimeCheck({ lifetime, isKept, onChange }: LifetimeCheckProps) {
  if (lifetime.kind === 'unlimited') return null
  return (
    <Check
      label={lifetime.kind === 'own' ? 'Begin its time to live again' : `Keep it with lease ${lifetime.lease}`}
      hint="Otherwise it stays until it is deleted."
      checked={isKept}
      onChange={onChange}
    />
  )
}

/** Says while one is still editing that somebody else has changed the key. */
function Overtaken({ began, present }: { readonly began: number | null; readonly present: number | null }) {
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
