import { useRef } from 'preact/hooks'
import { Button } from '../parts/button.tsx'

interface FilePickerProps {
  readonly label: string
  readonly onFile: (file: File) => void
  readonly small?: boolean
}

/** A button that lets one choose a file. */
export function FilePicker({ label, onFile, small = false }: FilePickerProps) {
  const input = useRef<HTMLInputElement>(null)
  return (
    <span>
      <Button small={small} onClick={() => input.current?.click()}>
        {label}
      </Button>
      <input
        ref={input}
        class="unseen"
        type="file"
        aria-label={`${label}: the file`}
        tabIndex={-1}
        onChange={(event) => {
          const [chosen] = event.currentTarget.files ?? []
          if (chosen !== undefined) onFile(chosen)
          // The same file can be chosen again.
          event.currentTarget.value = ''
        }}
      />
    </span>
  )
}
