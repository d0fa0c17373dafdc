import type { Ref } from 'preact'
import { useId, useImperativeHandle, useRef, useState } from 'preact/hooks'
import { draftOf, isSavedOnOneLine, valueOf, type Draft, type FormName, type ValueOutcome } from './value-form.ts'
import { FormToggle } from './value-view.tsx'

/** What the rest of a form asks of the field. */
export interface ValueFieldHandle {
  /** The value that is in the field now; what is wrong with it is shown as well. */
  read(): ValueOutcome
  draft(): Draft
  text(): string
}

interface ValueFieldProps {
  /** What the field begins with. */
  readonly draft: Draft
  /** What is in it, if that is something else. */
  readonly text?: string
  readonly label: string
  readonly handle: Ref<ValueFieldHandle>
  readonly onChange: () => void
  readonly autoFocus?: boolean
}

const forms: readonly FormName[] = ['text', 'json', 'hex']

/** A field for a value, in a form that can be changed on the way. */
export function ValueField({ draft: first, text, label, handle, onChange, autoFocus = false }: ValueFieldProps) {
  const [draft, setDraft] = useState(first)
  const [mistake, setMistake] = useState<string | null>(null)
  const area = useRef<HTMLTextAreaElement>(null)
  const id = useId()
  const textIn = (): string => area.current?.value ?? draft.text
  const read = (): ValueOutcome => {
    const outcome = valueOf(draft, textIn())
    setMistake(outcome.kind === 'invalid' ? outcome.reason : null)
    return outcome
  }
  useImperativeHandle(handle, () => ({ read, draft: () => draft, text: textIn }))

  const choose = (form: FormName): void => {
    const outcome = read()
    if (outcome.kind === 'invalid') return
    const next = draftOf(outcome.value, form)
    if (next.kind === 'draft') setDraft(next.draft)
    setMistake(next.kind === 'refused' ? next.reason : null)
  }
  const isFirst = draft === first
  return (
    <div class={`field value-field${mistake === null ? '' : ' wrong'}`}>
      <div class="value-head">
        <label for={id}>{label}</label>
        <FormToggle forms={forms} chosen={draft.form} onChoose={choose} />
      </div>
      <textarea
        key={`${draft.form} ${isFirst}`}
        id={id}
        ref={area}
        class="mono"
        rows={rowsFor(draft.text)}
        autoFocus={autoFocus && isFirst}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        aria-invalid={mistake !== null}
        aria-describedby={`${id}-hint`}
        defaultValue={isFirst ? (text ?? draft.text) : draft.text}
        onInput={onChange}
      />
      <p class="hint" id={`${id}-hint`} role={mistake === null ? undefined : 'alert'}>
        {mistake ?? hintFor(draft)}
      </p>
    </div>
  )
}

function rowsFor(text: string): number {
  let lines = 1
  for (let at = text.indexOf('\n'); at >= 0 && lines < 24; at = text.indexOf('\n', at + 1)) lines += 1
  return Math.max(6, lines + 1)
}

function hintFor(draft: Draft): string {
  if (draft.form === 'hex')
    return 'Two hexadecimal digits for each byte; spaces and line breaks between them do not count.'
  if (isSavedOnOneLine(draft)) return 'It is saved on one line, as it was before.'
  return draft.form === 'json' ? 'It is saved as it is laid out here.' : 'It is saved as UTF-8.'
}
