import type { Ref } from 'preact'
import { useId, useImperativeHandle, useRef, useState } from 'preact/hooks'
import { draftOf, isSavedOnOneLine, valueOf, type Draft, type FormName, type ValueOutcome } from './value-form.ts'
import { FormToggle } from './value-view.tsx'

/** What the rest of a form asks of the field. */
export interface ValueFieldHandle {
  /** The value that is in the field now; what is wrong with it is shown as well. */
  read(): ValueOutcome
  /** The same, but what is wrong with it is not shown. */
  peek(): ValueOutcome
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
  readonly readOnly?: boolean
}

const forms: readonly FormName[] = ['text', 'json', 'hex']

/** A field for a value, in a form that can be changed on the way. */
export function ValueField({
  draft: givenDraft,
  text: givenText,
  label,
  handle,
  onChange,
  autoFocus = false,
  readOnly = false,
}: ValueFieldProps) {
  // What it began with stays, whatever the form around it makes of it since.
  const [{ first, text }] = useState({ first: givenDraft, text: givenText })
  const [draft, setDraft] = useState(first)
  const [mistake, setMistake] = useState<string | null>(null)
  const area = useRef<HTMLTextAreaElement>(null)
  const id = useId()
  const textIn = (): string => area.current?.value ?? draft.text
  const peek = (): ValueOutcome => valueOf(draft, textIn())
  const read = (): ValueOutcome => {
    const outcome = peek()
    setMistake(outcome.kind === 'invalid' ? outcome.reason : null)
    return outcome
  }
  useImperativeHandle(handle, () => ({ read, peek, draft: () => draft, text: textIn }))

  const choose = (form: FormName): void => {
    if (readOnly) return
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
        readOnly={readOnly}
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
