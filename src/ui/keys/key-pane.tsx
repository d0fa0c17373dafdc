import { useEffect, useRef, useState } from 'preact/hooks'
import { bounds } from '../bounds.ts'
import { useAttempt } from '../data/attempt.ts'
import { FilePicker } from '../data/file-picker.tsx'
import { KeyText, quoted } from '../data/key-text.tsx'
import { keysHref, leaseHref, watchHref, type KeysPlace } from '../data/places.ts'
import { readsOwn } from '../data/read-terms.ts'
import { Shown } from '../data/shown.tsx'
import { useReading } from '../data/use-reading.ts'
import { bytes, count } from '../lib/format.ts'
import { goTo } from '../lib/route.ts'
import { useStore } from '../lib/store.ts'
import { Button } from '../parts/button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { say } from '../parts/messages.tsx'
import { Notice } from '../parts/notice.tsx'
import { Facts } from '../parts/page.tsx'
import { Tabs } from '../parts/tabs.tsx'
import { draftOf, formsOf, type Draft, type Value } from '../values/value-form.ts'
import { ValueView } from '../values/value-view.tsx'
import { drafts } from './drafts.ts'
import { HistoryView } from './history-view.tsx'
import { KeyEditor, type Edit } from './key-editor.tsx'
import { deleteKey, overtakenBy, writeKey, type Stored } from './keys-api.ts'
import { lifetimeSentence, type Lifetime } from './lifetime.ts'
import { readPresent, type Present } from './present.ts'

interface KeyPaneProps {
  readonly place: KeysPlace
  readonly name: string
  /** A key came or went. */
  readonly onChanged: () => void
}

/** A key that is open: what it has, its past, and what one can do with it. */
export function KeyPane({ place, name, onChanged }: KeyPaneProps) {
  const own = useStore(readsOwn)
  const read = useReading(`${name} ${own}`, readPresent.bind(null, name), { everyMs: bounds.keyPollMs })
  const title = useRef<HTMLHeadingElement>(null)
  // Where the tree makes room for the key, the focus would be lost with it.
  useEffect(() => {
    if (!isFocusSeen()) title.current?.focus()
  }, [name])
  const changed = (): void => {
    read.again()
    onChanged()
  }
  const tab = place.tab ?? 'value'
  return (
    <>
      <h2 class="pane-title long-text mono" tabIndex={-1} ref={title}>
        <KeyText text={name} />
      </h2>
      <Tabs
        label="What to see of the key"
        tabs={[
          { name: 'value', text: 'Value' },
          { name: 'history', text: 'History' },
        ]}
        chosen={tab}
        onChoose={(chosen) => goTo(keysHref(chosen === 'history' ? { ...place, tab: chosen } : without(place)))}
      >
        <Shown read={read} ofKeys>
          {(present) =>
            tab === 'history' ? (
              <HistoryView key={name} name={name} {...present} onRestored={changed} />
            ) : (
              <ValueTab
                key={name}
                place={place}
                name={name}
                present={present}
                onChanged={changed}
                onClosed={() => title.current?.focus()}
              />
            )
          }
        </Shown>
      </Tabs>
    </>
  )
}

function without({ tab: _tab, ...place }: KeysPlace): KeysPlace {
  return place
}

function isFocusSeen(): boolean {
  const { activeElement } = document
  return activeElement instanceof HTMLElement && activeElement !== document.body && activeElement.offsetParent !== null
}

interface ValueTabProps {
  readonly place: KeysPlace
  readonly name: string
  readonly present: Present
  readonly onChanged: () => void
  /** The editor, which had the focus, is gone. */
  readonly onClosed: () => void
}

/** What is asked, of the key as it was when it was asked. */
interface Question extends Present {
  readonly stored: Stored
  /** Null: whether to delete it. */
  readonly file: File | null
}

function ValueTab({ place, name, present, onChanged, onClosed }: ValueTabProps) {
  const { stored, lifetime } = present
  const [edit, setEdit] = useState<Edit | null>(() => drafts.edits.get(name))
  const [question, ask] = useState<Question | null>(null)
  if (edit !== null) {
    const close = (): void => {
      setEdit(null)
      onClosed()
    }
    return <KeyEditor edit={edit} present={present} onWritten={onChanged} onClose={close} />
  }
  const begin = (draft: Draft, { key, modRevision }: Stored): void => {
    setEdit({ key, condition: { revision: modRevision }, draft, lifetime })
  }
  return (
    <>
      {stored === null ? (
        <Absent place={place} name={name} />
      ) : (
        <>
          <KeyFacts stored={stored} lifetime={lifetime} />
          <KeyTools stored={stored} onEdit={begin} onQuestion={(file) => ask({ stored, lifetime, file })} />
          <ValueView value={stored.value} />
        </>
      )}
      {question !== null && (
        <QuestionDialog question={question} present={stored} onDone={onChanged} onClose={() => ask(null)} />
      )}
    </>
  )
}

function Absent({ place, name }: { readonly place: KeysPlace; readonly name: string }) {
  return (
    <Notice
      tone="info"
      title="There is no such key"
      action={
        <Button small onClick={() => goTo(keysHref({ ...place, new: name }))}>
          Write it
        </Button>
      }
    >
      <p>It was deleted, or never written. Its history may know.</p>
    </Notice>
  )
}

interface QuestionDialogProps {
  readonly question: Question
  /** What the key has by now. */
  readonly present: Stored | null
  readonly onDone: () => void
  readonly onClose: () => void
}

function QuestionDialog({ question: { stored, lifetime, file }, present, onDone, onClose }: QuestionDialogProps) {
  const shared = { stored, overtaken: overtakenBy(present, stored), onDone, onClose }
  return file === null ? <DeleteDialog {...shared} /> : <UploadDialog {...shared} file={file} lifetime={lifetime} />
}

function KeyFacts({ stored, lifetime }: { readonly stored: Stored; readonly lifetime: Lifetime }) {
  const { value, version, createRevision, modRevision, lease } = stored
  return (
    <Facts
      facts={[
        ['Size', bytes(value.length)],
        ['Changed at revision', count(modRevision)],
        ['Created at revision', count(createRevision)],
        ['Version', count(version)],
        [
          'Goes with',
          lease === 0 ? (
            'nothing'
          ) : (
            <a href={leaseHref(lease)}>
              {lifetime.kind === 'own' ? 'a lease of its own' : 'lease'} {lease}
            </a>
          ),
        ],
      ]}
    />
  )
}

interface KeyToolsProps {
  readonly stored: Stored
  readonly onEdit: (draft: Draft, stored: Stored) => void
  /** `file`: whether to put it in the place of the value; null: whether to delete the key. */
  readonly onQuestion: (file: File | null) => void
}

function KeyTools({ stored, onEdit, onQuestion }: KeyToolsProps) {
  const [refusal, setRefusal] = useState<string | null>(null)
  // What was said of one value does not hold for the next.
  useEffect(() => setRefusal(null), [stored])
  const edit = (): void => {
    const outcome = firstDraft(stored.value)
    if (outcome.kind === 'draft') onEdit(outcome.draft, stored)
    else setRefusal(outcome.reason)
  }
  return (
    <>
      <div class="tools">
        <Button kind="primary" onClick={edit}>
          Edit
        </Button>
        <Button onClick={() => download(stored)}>Download</Button>
        <FilePicker label="Upload" onFile={onQuestion} />
        <a class="button" href={watchHref({ key: stored.key })}>
          Watch
        </a>
        <Button onClick={() => onQuestion(null)}>Delete</Button>
      </div>
      {refusal !== null && (
        <Notice tone="info" title="This value cannot be edited here">
          <p>{refusal}</p>
        </Notice>
      )}
    </>
  )
}

/** In the first form that the value can be edited in. */
function firstDraft(value: Value) {
  const outcomes = formsOf(value).map((form) => draftOf(value, form))
  return outcomes.find(({ kind }) => kind === 'draft') ?? outcomes[0] ?? draftOf(value, 'hex')
}

/** Saves the value as a file. */
function download({ key, value }: Stored): void {
  const address = URL.createObjectURL(new Blob([value], { type: 'application/octet-stream' }))
  const link = document.createElement('a')
  link.href = address
  link.download = fileName(key)
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), bounds.downloadMs)
}

/** The last part of the key, with what no file system minds. */
function fileName(key: string): string {
  const last = key.split('/').findLast((part) => part !== '') ?? ''
  const name = last.replaceAll(/[^\p{L}\p{N}._-]+/gu, '_').replace(/^\.+/, '')
  return name === '' ? 'value' : name.slice(0, 100)
}

interface ChangeDialogProps {
  readonly stored: Stored
  readonly overtaken: string | null
  readonly onDone: () => void
  readonly onClose: () => void
}

function DeleteDialog({ stored, overtaken, onDone, onClose }: ChangeDialogProps) {
  const attempt = useAttempt()
  const { key, modRevision } = stored
  return (
    <Confirm
      title={`Delete ${quoted(key)}?`}
      effects={[
        `The key is deleted, unless somebody changes it first: it has to be at revision ${modRevision}.`,
        'Its value can be restored from its history, as long as that is kept.',
      ]}
      word={null}
      action="Delete"
      danger
      overtaken={overtaken}
      onConfirm={async () => {
        await attempt.run(async (name) => await deleteKey(key, modRevision, name))
        say(`${quoted(key)} is deleted.`)
        onDone()
      }}
      onClose={onClose}
    />
  )
}

function UploadDialog({
  stored,
  overtaken,
  file,
  lifetime,
  onDone,
  onClose,
}: ChangeDialogProps & { readonly file: File; readonly lifetime: Lifetime }) {
  const attempt = useAttempt()
  const { key, value, modRevision } = stored
  return (
    <Confirm
      title={`Replace the value of ${quoted(key)}?`}
      effects={[
        `The value, ${bytes(value.length)}, is replaced with the contents of ${file.name}, ${bytes(file.size)}.`,
        lifetimeSentence(lifetime),
        `Nothing is written if somebody changes the key first: it has to be at revision ${modRevision}.`,
      ]}
      word={null}
      action="Replace"
      overtaken={overtaken}
      onConfirm={async () => {
        const write = { key, value: file, condition: { revision: modRevision }, lifetime }
        const { revision } = await attempt.run(async (named) => await writeKey({ ...write, name: named }))
        say(`${quoted(key)} is saved, at revision ${revision}.`)
        onDone()
      }}
      onClose={onClose}
    />
  )
}
