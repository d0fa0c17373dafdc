import { useLayoutEffect, useRef, useState } from 'preact/hooks'
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
import { draftOf, type Draft } from '../values/value-form.ts'
import { drafts, type NewDraft } from './drafts.ts'
import { writeKey } from './keys-api.ts'
import type { WrittenLifetime } from './lifetime.ts'

interface NewKeyPaneProps {
  /** What its name begins with. */
  readonly start: string
  /** `isThere`: the person has not gone elsewhere meanwhile. */
  readonly onWritten: (key: string, isThere: boolean) => void
  readonly onOpen: (key: string) => void
  /** Goes to the form for a new key that was left. */
  readonly onBegun: (start: string) => void
  readonly onClose: () => void
}

type Inputs = Pick<NewDraft, 'key' | 'ttl' | 'file'>

/** What is typed for a new key, kept as a draft, and its write. */
function useNewKey(start: string, onWritten: NewKeyPaneProps['onWritten']) {
  const [begun] = useState(() => drafts.fresh.get(start))
  const [inputs, setInputs] = useState<Inputs>(begun ?? { key: start, ttl: '', file: null })
  const { key, ttl, file } = inputs
  const field = useRef<ValueFieldHandle>(null)
  const typed = useRef<Pick<NewDraft, 'draft' | 'text'>>(begun ?? { draft: EMPTY, text: '' })
  const attempt = useAttempt()
  const { isBusy, failure, run } = useAction(`Writing ${quoted(key)}`)
  const mistake = key !== start && key === '' ? 'A key has at least one byte.' : tooLong(key)
  // Before the field goes away.
  useLayoutEffect(() => () => drafts.fresh.settle(start), [])

  const draftWith = (now: Inputs): NewDraft => {
    const { current } = field
    if (current !== null) typed.current = { draft: current.draft(), text: current.text() }
    return { start, ...now, ...typed.current }
  }
  /** Takes an input over: what is written then is something else. */
  const take = (input: Partial<Inputs>): void => {
    const next = { ...inputs, ...input }
    // The field makes room for the file, and what is in it comes back.
    if (next.file !== file) draftWith(next)
    setInputs(next)
    attempt.renew()
    drafts.fresh.keepSoon(start, () => draftWith(next))
  }
  const write = (): void => {
    const outcome = field.current?.read()
    const value = file ?? (outcome?.kind === 'value' ? outcome.value : null)
    if (value === null || key === '' || mistake !== null) return
    const written = draftWith(inputs)
    const lifetime: WrittenLifetime = ttl.trim() === '' ? { kind: 'unlimited' } : { kind: 'typed', ttl: ttl.trim() }
    run(async (isThere) => {
      await attempt.run(async (name) => await writeKey({ key, value, condition: 'absent', lifetime, name }))
      drafts.written(written)
      say(`${quoted(key)} is written.`)
      onWritten(key, isThere())
    })
  }
  return { begun, inputs, field, typed: typed.current, take, write, mistake, isBusy, failure }
}

/** Writes a key that is not there yet. */
export function NewKeyPane({ start, onWritten, onOpen, onBegun, onClose }: NewKeyPaneProps) {
  const { begun, inputs, field, typed, take, write, mistake, isBusy, failure } = useNewKey(start, onWritten)
  const { key, ttl, file } = inputs
  const submit = (event: Event): void => {
    event.preventDefault()
    write()
  }
  const cancel = (): void => {
    drafts.fresh.drop(start)
    onClose()
  }
  return (
    <form class="editor" onSubmit={submit}>
      <h2 class="pane-title">New key</h2>
      {begun === null && <Begun onBegun={onBegun} />}
      <Field
        label="Key"
        value={key}
        onInput={(text) => take({ key: text })}
        mistake={mistake}
        readOnly={isBusy}
        mono
        required
        autoFocus
      />
      {file === null ? (
        <ValueField
          label="Value"
          draft={typed.draft}
          text={typed.text}
          handle={field}
          onChange={() => take({})}
          readOnly={isBusy}
        />
      ) : (
        <p>
          The contents of {file.name}, {bytes(file.size)}.{' '}
          <Button small disabled={isBusy} onClick={() => take({ file: null })}>
            Type a value
          </Button>
        </p>
      )}
      <FilePicker label="Take the value from a file" onFile={(chosen) => take({ file: chosen })} small />
      <Field
        label="Time to live"
        value={ttl}
        onInput={(text) => take({ ttl: text })}
        placeholder="until it is deleted"
        hint="Such as 30s, 15m or 720h: from 1 second to 30 days. It begins again with each write."
        readOnly={isBusy}
      />
      {failure !== null && <Failure failure={failure} name={key} onOpen={() => onOpen(key)} />}
      <div class="buttons">
        <Button onClick={cancel}>Cancel</Button>
        <Button type="submit" kind="primary" busy={isBusy} disabled={key === ''}>
          Write
        </Button>
      </div>
    </form>
  )
}

/** Leads to another new key that was left without being written. */
function Begun({ onBegun }: { readonly onBegun: (start: string) => void }) {
  const [other] = useState(() => drafts.fresh.latest())
  if (other === null) return null
  const action = (
    <Button small onClick={() => onBegun(other.start)}>
      Go on with it
    </Button>
  )
  return (
    <Notice tone="info" title={`${quoted(other.key)} is not written yet`} action={action}>
      <p>You began it, and left.</p>
    </Notice>
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
