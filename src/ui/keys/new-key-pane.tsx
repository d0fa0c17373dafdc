import { useRef, useState } from 'preact/hooks'
import { ProblemError } from '../api/problem.ts'
import { bounds } from '../bounds.ts'
import { useAttempt } from '../data/attempt.ts'
import { FilePicker } from '../data/file-picker.tsx'
import { quoted } from '../data/key-text.tsx'
import { useAction } from '../data/use-action.ts'
import { bytesOf } from '../data/utf8.ts'
import { bytes } from '../lib/format.ts'
import { Button } from '../parts/button.tsx'
import { Field } from '../parts/field.tsx'
import { say } from '../parts/messages.tsx'
import { FailureNotice, Notice } from '../parts/notice.tsx'
import { ValueField, type ValueFieldHandle } from '../values/value-field.tsx'
import { draftOf, type Draft, type Value } from '../values/value-form.ts'
import { writeKey } from './keys-api.ts'
import type { Lifetime } from './lifetime.ts'

interface NewKeyPaneProps {
  /** What its name begins with. */
  readonly start: string
  readonly onWritten: (key: string) => void
  readonly onOpen: (key: string) => void
  readonly onClose: () => void
}

/** Writes a key that is not there yet. */
export function NewKeyPane({ start, onWritten, onOpen, onClose }: NewKeyPaneProps) {
  const [key, setKey] = useState(start)
  const [ttl, setTtl] = useState('')
  const [file, setFile] = useState<File | null>(null)
  const field = useRef<ValueFieldHandle>(null)
  const attempt = useAttempt()
  const { isBusy, failure, run } = useAction()
  const mistake = key !== start && key === '' ? 'A key has at least one byte.' : tooLong(key)

  const write = async (value: Blob | Value): Promise<void> => {
    const lifetime: Lifetime = ttl.trim() === '' ? { kind: 'unlimited' } : { kind: 'own', ttl: ttl.trim() }
    await attempt.run(async (name) => await writeKey({ key, value, condition: 'absent', lifetime, name }))
    say(`${quoted(key)} is written.`)
    onWritten(key)
  }
  const submit = (event: Event): void => {
    event.preventDefault()
    const outcome = field.current?.read()
    const value = file ?? (outcome?.kind === 'value' ? outcome.value : null)
    if (value !== null && key !== '' && mistake === null) run(async () => await write(value))
  }
  /** Takes an input over: what is written then is something else. */
  const take = <Input,>(set: (input: Input) => void) => {
    return (input: Input): void => {
      set(input)
      attempt.renew()
    }
  }
  return (
    <form class="editor" onSubmit={submit}>
      <h2 class="pane-title">New key</h2>
      <Field label="Key" value={key} onInput={take(setKey)} mistake={mistake} mono required autoFocus />
      {file === null ? (
        <ValueField label="Value" draft={EMPTY} handle={field} onChange={() => attempt.renew()} />
      ) : (
        <p>
          The contents of {file.name}, {bytes(file.size)}.{' '}
          <Button small onClick={() => take(setFile)(null)}>
            Type a value
          </Button>
        </p>
      )}
      <FilePicker label="Take the value from a file" onFile={take(setFile)} small />
      <Field
        label="Time to live"
        value={ttl}
        onInput={take(setTtl)}
        placeholder="until it is deleted"
        hint="Such as 30s, 15m or 720h: from 1 second to 30 days. It begins again with each write."
      />
      {failure !== null && <Failure failure={failure} name={key} onOpen={() => onOpen(key)} />}
      <div class="buttons">
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" kind="primary" busy={isBusy} disabled={key === ''}>
          Write
        </Button>
      </div>
    </form>
  )
}

const EMPTY = emptyDraft()

function emptyDraft(): Draft {
  const outcome = draftOf(new Uint8Array(), 'text')
  return outcome.kind === 'draft' ? outcome.draft : { form: 'text', value: new Uint8Array(), text: '' }
}

function tooLong(key: string): string | null {
  const size = bytesOf(key)
  return size <= bounds.keyBytesMax ? null : `It has ${size} bytes of UTF-8; at most ${bounds.keyBytesMax} are allowed.`
}

function Failure({
  failure,
  name,
  onOpen,
}: {
  readonly failure: unknown
  readonly name: string
  readonly onOpen: () => void
}) {
  if (!(failure instanceof ProblemError) || failure.code !== 'precondition-failed')
    return <FailureNotice failure={failure} />
  return (
    <Notice
      tone="warn"
      title="There is such a key already"
      action={
        <Button small onClick={onOpen}>
          Open it
        </Button>
      }
    >
      <p>{quoted(name)} was not written.</p>
    </Notice>
  )
}
