import type { ComponentChildren } from 'preact'
import { useId, useLayoutEffect, useRef } from 'preact/hooks'
import { Store } from '../lib/store.ts'
import { TokenForm } from './token-form.tsx'

interface DialogProps {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
  readonly wide?: boolean
}

/** How many dialogs are open. What is behind them cannot be reached. */
export const openDialogs = new Store(0)

/**
 * A dialog in front of the page. The browser keeps the focus inside, closes it with Escape, and gives the focus back to where it was.
 */
export function Dialog({ title, onClose, children, wide = false }: DialogProps) {
  const id = useId()
  const element = useRef<HTMLDialogElement>(null)
  // Before the next frame: nobody types while the focus is nowhere.
  useLayoutEffect(() => {
    const dialog = element.current
    const before = document.activeElement
    dialog?.showModal()
    openDialogs.set(openDialogs.value + 1)
    return () => {
      openDialogs.set(openDialogs.value - 1)
      dialog?.close()
      // The button that opened it may be drawn anew meanwhile.
      if (before instanceof HTMLElement && before.isConnected) before.focus()
    }
  }, [])
  const onBackdrop = (event: MouseEvent): void => {
    // Its own scroll bar is the dialog as well: only what is pressed beside it closes it.
    const { current } = element
    if (current !== null && event.target === current && isOutside(event, current.getBoundingClientRect())) onClose()
  }
  return (
    <dialog
      ref={element}
      class={wide ? 'wide' : ''}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      onMouseDown={onBackdrop}
    >
      <div class="dialog">
        <h2 id={id}>{title}</h2>
        {children}
        <TokenForm />
      </div>
    </dialog>
  )
}

function isOutside({ clientX, clientY }: MouseEvent, { left, right, top, bottom }: DOMRect): boolean {
  return clientX < left || clientX > right || clientY < top || clientY > bottom
}
