export interface TextPart {
  readonly text: string
  /** It stands for a character that cannot be seen. */
  readonly isEscape: boolean
}

/**
 * Control characters, those that change the direction of writing, and those without a width. Joiners stay: emoji are made with them.
 */
// oxlint-disable-next-line no-control-regex
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/u
const NAMES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\0': '\\0' }

/** A text in parts, such that two texts that differ look different: what cannot be seen is spelled out, and so are spaces at the ends. */
export function visibleText(text: string): readonly TextPart[] {
  const inner = text.trim()
  const start = text.length - text.trimStart().length
  const parts: { text: string; isEscape: boolean }[] = []
  let at = 0
  for (const character of text) {
    const isAtEnd = at < start || at >= start + inner.length
    const isEscape = HIDDEN.test(character) || (isAtEnd && /\s/.test(character))
    const shown = isEscape ? spelled(character) : character
    const last = parts.at(-1)
    if (last?.isEscape === isEscape) last.text += shown
    else parts.push({ text: shown, isEscape })
    at += character.length
  }
  return parts
}

/** The same as plain text, for titles and sentences. */
export function plainText(text: string): string {
  return visibleText(text)
    .map((part) => part.text)
    .join('')
}

function spelled(character: string): string {
  if (character === ' ') return '·'
  const name = NAMES[character]
  if (name !== undefined) return name
  const code = character.codePointAt(0) ?? 0
  return `\\u{${code.toString(16)}}`
}
