import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Button } from './button.tsx'
import { Dialog } from './dialog.tsx'
import { Field } from './field.tsx'
import { Words } from './words.tsx'
import { complainOf } from './messages.tsx'
import { FailureNotice, Notice } from './notice.tsx'

interface ConfirmProps {
  readonly title: string
  /** What will happen, each a sentence: the dry run. */
  readonly effects: readonly string[]
  /** Why one may not want it. */
  readonly warnings?: readonly string[]
  /** Further inputs. */
  readonly children?: ComponentChildren
  /** What has to be typed before it may be done; null: nothing. */
  readonly word: string | null
  /** What the word is: `the id of the node`. */
  readonly wordName?: string
  /** The text of the button that does it. */
  readonly action: string
  readonly danger?: boolean
  /** Its inputs are not complete. */
  readonly blocked?: boolean
  /** What has changed since the dialog was opened; null: nothing. While something has, nothing can be confirmed. */
  readonly overtaken?: string | null
  /** Closes the dialog when it resolves; what it throws is shown. */
  readonly onConfirm: () => Promise<void>
  readonly onClose: () => void
}

/** Says what an action will do, and does it when the person has typed what it concerns. */
export function Confirm(props: ConfirmProps) {
  const { title, effects, warnings = [], children, word, wordName = 'this', action, onConfirm, onClose } = props
  const [typed, setTyped] = useState('')
  const [isBusy, setBusy] = useState(false)
  const [failure, setFailure] = useState<unknown>(null)
  const isOpen = useRef(true)
  useEffect(() => () => void (isOpen.current = false), [])
  // While it is being done, it is what changes.
  const overtaken = isBusy ? null : (props.overtaken ?? null)
  const isReady = props.blocked !== true && overtaken === null && (word === null || typed.trim() === word)
  const onSubmit = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (!isReady || isBusy) return
    setBusy(true)
    setFailure(null)
    try {
      await onConfirm()
      if (isOpen.current) onClose()
    } catch (error) {
      if (!isOpen.current) return complainOf(title, error)
      setFailure(error)
      setBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={(event) => void onSubmit(event)}>
        {children}
        {effects.length > 0 && <Sentences title="What will happen" lines={effects} />}
        {warnings.length > 0 && (
          <div class="cautions">
            <Sentences title="Before you do" lines={warnings} />
          </div>
        )}
        {word !== null && (
          <Field
            label={`Type ${wordName} to confirm: ${word}`}
            value={typed}
            onInput={setTyped}
            mono
            autoFocus={children === undefined}
          />
        )}
        {overtaken !== null && (
          <Notice tone="warn" title="This has changed meanwhile">
            <p>{overtaken} Close the dialog, and look again.</p>
          </Notice>
        )}
        {failure !== null && <FailureNotice failure={failure} />}
        <div class="buttons">
          <Button onClick={onClose}>{isBusy ? 'Close' : 'Cancel'}</Button>
          <Button type="submit" kind={props.danger === true ? 'danger' : 'primary'} disabled={!isReady} busy={isBusy}>
            {action}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

function Sentences({ title, lines }: { readonly title: string; readonly lines: readonly string[] }) {
  return (
    <section class="sentences">
      <h3>{title}</h3>
      <ul>
        {lines.map((line) => (
          <li key={line}>
            <Words text={line} />
          </li>
        ))}
      </ul>
    </section>
  )
}
