interface ToggleProps<Choice extends string> {
  /** What is chosen, for readers of the screen. */
  readonly label: string
  readonly choices: readonly { readonly value: Choice; readonly text: string; readonly title?: string }[]
  readonly value: Choice
  readonly onChange: (value: Choice) => void
}

/** A few choices side by side, of which one is taken. */
export function Toggle<Choice extends string>({ label, choices, value, onChange }: ToggleProps<Choice>) {
  return (
    <div class="toggle" role="group" aria-label={label}>
      {choices.map((choice) => (
        <button
          key={choice.value}
          type="button"
          aria-pressed={choice.value === value}
          title={choice.title}
          onClick={() => onChange(choice.value)}
        >
          {choice.text}
        </button>
      ))}
    </div>
  )
}
