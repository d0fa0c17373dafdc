import type { ComponentChildren } from 'preact'

interface ButtonProps {
  readonly children: ComponentChildren
  readonly onClick?: () => void
  readonly kind?: 'plain' | 'primary' | 'danger' | 'quiet'
  readonly type?: 'button' | 'submit'
  readonly disabled?: boolean
  /** What it started is under way. */
  readonly busy?: boolean
  readonly small?: boolean
  /** For readers of the screen, where the text alone does not say it. */
  readonly label?: string
  readonly title?: string
}

export function Button(props: ButtonProps) {
  const { children, onClick, kind = 'plain', type = 'button', disabled = false, busy = false, small = false } = props
  return (
    <button
      type={type}
      class={`button ${kind}${small ? ' small' : ''}`}
      disabled={disabled || busy}
      aria-busy={busy}
      aria-label={props.label}
      title={props.title}
      onClick={onClick}
    >
      {busy && <span class="spinner" aria-hidden="true" />}
      {children}
    </button>
  )
}
