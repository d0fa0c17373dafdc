import { useMemo, useState } from 'preact/hooks'
import { bounds } from '../bounds.ts'
import { count } from '../lib/format.ts'
import { Button } from '../parts/button.tsx'
import { Toggle } from '../parts/toggle.tsx'
import { hexDumpOf } from './hex.ts'
import { jsonParts, prettyJson } from './json-layout.ts'
import { formsOf, textOf, type FormName } from './value-form.ts'

const names: Readonly<Record<FormName, string>> = { text: 'Text', json: 'JSON', hex: 'Hex' }

interface FormToggleProps {
  readonly forms: readonly FormName[]
  readonly chosen: FormName
  readonly onChoose: (form: FormName) => void
}

export function FormToggle({ forms, chosen, onChoose }: FormToggleProps) {
  const order: readonly FormName[] = ['text', 'json', 'hex']
  const choices = order.filter((form) => forms.includes(form)).map((form) => ({ value: form, text: names[form] }))
  return <Toggle label="Form of the value" choices={choices} value={chosen} onChange={onChoose} />
}

/** A value in the form that tells most, or in another one. */
export function ValueView({ value }: { readonly value: Uint8Array }) {
  const forms = useMemo(() => formsOf(value), [value])
  const [wanted, choose] = useState<FormName | null>(null)
  const form = wanted !== null && forms.includes(wanted) ? wanted : forms[0]
  return (
    <div class="value">
      <div class="value-head">
        <FormToggle forms={forms} chosen={form} onChoose={choose} />
      </div>
      {value.length === 0 ? <p class="empty">The value is empty.</p> : <ValueBody value={value} form={form} />}
    </div>
  )
}

function ValueBody({ value, form }: { readonly value: Uint8Array; readonly form: FormName }) {
  if (form === 'hex') return <HexView value={value} />
  return <TextView key={form} value={value} form={form} />
}

/** The beginning of a text; all of it when that is asked for. */
function TextView({ value, form }: { readonly value: Uint8Array; readonly form: 'text' | 'json' }) {
  const { text, isPlain } = useMemo(() => {
    const plain = textOf(value) ?? ''
    const laidOut = form === 'json' ? prettyJson(plain) : null
    return { text: laidOut ?? plain, isPlain: form === 'json' && laidOut === null }
  }, [value, form])
  const [isWhole, showWhole] = useState(false)
  const shown = isWhole ? text : text.slice(0, bounds.shownCharacters).toWellFormed()
  const hidden = text.length - shown.length
  return (
    <>
      {isPlain && <p class="hint">It is shown as it is stored: with an element a line it would be too long.</p>}
      <pre class="value-text" tabIndex={0} aria-label="The value">
        {form === 'json' && text.length <= bounds.colouredCharacters ? <ColouredJson text={text} /> : shown}
      </pre>
      {hidden > 0 && (
        <p class="value-rest">
          {count(hidden)} more characters.{' '}
          <Button small onClick={() => showWhole(true)}>
            Show all
          </Button>
        </p>
      )}
    </>
  )
}

function ColouredJson({ text }: { readonly text: string }) {
  return (
    <>
      {jsonParts(text).map(({ kind, text: part }, at) =>
        kind === 'mark' ? (
          part
        ) : (
          <span class={`json-${kind}`} key={at}>
            {part}
          </span>
        ),
      )}
    </>
  )
}

/** A page of bytes. */
function HexView({ value }: { readonly value: Uint8Array }) {
  const size = bounds.hexPageBytes
  const pages = Math.ceil(value.length / size)
  const [wanted, setPage] = useState(0)
  const page = Math.min(wanted, pages - 1)
  const start = page * size
  const end = Math.min(start + size, value.length)
  return (
    <>
      <pre class="value-text hex" tabIndex={0} aria-label="The bytes of the value">
        {hexDumpOf(value.subarray(start, end), start)}
      </pre>
      {pages > 1 && (
        <div class="value-rest">
          <Button small disabled={page === 0} onClick={() => setPage(page - 1)}>
            Back
          </Button>
          <Button small disabled={page === pages - 1} onClick={() => setPage(page + 1)}>
            On
          </Button>
          <span class="faint">
            Bytes {count(start)} to {count(end - 1)} of {count(value.length)}
          </span>
        </div>
      )}
    </>
  )
}
