import { plainText, visibleText } from './visible-text.ts'

/** A key, a name, or a line of text, in which what cannot be seen is spelled out. */
export function KeyText({ text, empty = 'empty' }: { readonly text: string; readonly empty?: string }) {
  if (text === '') return <span class="escape">{empty}</span>
  return (
    <span class="key-text">
      {visibleText(text).map((part, at) =>
        part.isEscape ? (
          <span class="escape" key={at}>
            {part.text}
          </span>
        ) : (
          part.text
        ),
      )}
    </span>
  )
}

/** A key within a sentence: in quotes, and not longer than a line. */
export function quoted(key: string): string {
  const text = plainText(key)
  return `“${text.length <= 80 ? text : `${text.slice(0, 60).toWellFormed()} … ${text.slice(-15).toWellFormed()}`}”`
}
