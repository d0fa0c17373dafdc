import type { ComponentChildren, TargetedInputEvent } from 'preact'
import { useId } from 'preact/hooks'

interface FieldProps {
  readonly label: string
  readonly value: string
  readonly onInput: (value: string) => void
  /** Dots are shown instead of it. */
  readonly secret?: boolean
  readonly hint?: ComponentChildren
  /** What is wrong with the value. */
  readonly mistake?: string | null
  readonly placeholder?: string
  readonly required?: boolean
  readonly disabled?: boolean
  readonly readOnly?: boolean
  readonly mono?: boolean
  readonly autoFocus?: boolean
  readonly maxLength?: number
}

/** A line of text with its label, a hint, and what is wrong with it. */
export function Field(props: FieldProps) {
  const { label, value, onInput, hint, mistake = null, mono = false } = props
  const id = useId()
  const isWrong = mistake !== null
  const shared = {
    id,
    value,
    class: mono ? 'mono' : '',
    placeholder: props.placeholder,
    required: props.required,
    disabled: props.disabled,
    readOnly: props.readOnly,
    maxLength: props.maxLength,
    autoFocus: props.autoFocus,
    autocomplete: 'off',
    autocapitalize: 'off',
    spellcheck: false,
    'aria-invalid': isWrong,
    'aria-describedby': hint === undefined && !isWrong ? undefined : `${id}-hint`,
    onInput: (event: TargetedInputEvent<HTMLInputElement>) => onInput(event.currentTarget.value),
  } as const
  return (
    <div class={`field${isWrong ? ' wrong' : ''}`}>
      <label for={id}>{label}</label>
      {props.secret === true ? <input type="password" {...shared} /> : <input type="text" {...shared} />}
      {(isWrong || hint !== undefined) && (
        <p class="hint" id={`${id}-hint`}>
          {isWrong ? mistake : hint}
        </p>
      )}
    </div>
  )
}

interface CheckProps {
  readonly label: string
  readonly checked: boolean
  readonly onChange: (checked: boolean) => void
  readonly hint?: string
}

export function Check({ label, checked, onChange, hint }: CheckProps) {
  const id = useId()
  return (
    <div class="check">
      <input
        id={id}
        type="checkbox"
        checked={checked}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <label for={id}>{label}</label>
      {hint !== undefined && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  )
}
